/** Set-up for tests that run whole jobs: the demo model from disk, a session on the test device, checkpoints in memory. */
import { readFile } from 'node:fs/promises'
import type { Files } from '../io/bytes.ts'
import { type MemorySink, memoryFiles, memorySink, memoryStore } from '../io/memory.ts'
import { demoFiles, demoTexts } from './hosts/demo.ts'
import { type TinyConfig, safetensorsOf, tinyTensors } from '../models/testing.ts'
import type { Device } from '../gpu/device.ts'
import type { BlockWeights } from '../models/family.ts'
import { Control } from './control.ts'
import type { RunEvent } from './job/events.ts'
import type { Job } from './job/job.ts'
import type { Host } from './host.ts'
import type { Session } from './session.ts'
import type { TextFile } from './texts.ts'
import { type Fold, foldedWeight } from './passes/transform.ts'

const readDemo = async (name: string) => new Blob([await readFile(`public/demo/${name}`)])

export const testDemo = () => demoFiles(readDemo)
export const testTexts = () => demoTexts(readDemo)

export function memoryText(id: string, content: string, fileName = 'text.txt'): TextFile {
  const blob = new Blob([content])
  return { id, label: id, fileName, bytes: blob.size, origin: 'file', open: async () => blob }
}

/** A random model with the demo's vocabulary, so that its tokenizer serves: whole jobs take a second. */
export const tinyConfig: TinyConfig = {
  model_type: 'llama',
  hidden_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 44,
  vocab_size: 1024,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
}

/** The folder of such a model, with a file that travels along. */
export async function tinyFiles(
  change: (tensors: ReturnType<typeof tinyTensors>) => void = () => {},
  config: Pick<TinyConfig, 'vocab_size'> & Partial<TinyConfig> = tinyConfig,
): Promise<Files> {
  const tensors = tinyTensors({ ...tinyConfig, ...config }, 3)
  change(tensors)
  return memoryFiles([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', safetensorsOf(tensors)],
    ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
    ['notes/extra.txt', 'travels along'],
  ])
}

/** A job over the demo model, small enough for a software adapter. */
export function smallJob(runs: Job['runs'], changes: Partial<Job> = {}): Job {
  return {
    runs,
    calibration: { text: 'demo-calibration', samples: 4, length: 64, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: 4, length: 64 },
    seed: 0,
    perplexityEvery: 0,
    save: false,
    ...changes,
  }
}

export function memoryHost(session: Session, onEvent: (event: RunEvent, control: Control) => void = () => {}) {
  const events: RunEvent[] = []
  const sinks = new Map<string, MemorySink>()
  const control = new Control()
  const journal = memoryStore()
  const host = {
    journal,
    session,
    control,
    emit(event: RunEvent) {
      events.push(event)
      onEvent(event, control)
    },
    async sink(run: string) {
      const sink = memorySink()
      sinks.set(run, sink)
      return sink
    },
  } satisfies Host
  return { host: host as Host, events, sinks, control, journal }
}

/** Puts folded weights in the place of all that have a fold. */
export function applyFolds(gpu: Device, weights: BlockWeights, folds: ReadonlyMap<string, Fold>): void {
  for (const [linear, one] of folds) weights.set(`${linear}.weight`, foldedWeight(gpu, weights.get(`${linear}.weight`)!, one))
}
