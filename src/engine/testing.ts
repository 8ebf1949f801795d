/** Set-up for tests that run whole jobs: the demo model from disk, a session on the test device, checkpoints in memory. */
import { readFile } from 'node:fs/promises'
import { type MemorySink, memorySink } from '../io/memory.ts'
import { demoFiles, demoTexts } from './demo.ts'
import type { TinyConfig } from '../models/testing.ts'
import { Control } from './control.ts'
import type { Job, RunEvent } from './job.ts'
import type { Host } from './run.ts'
import type { Session } from './session.ts'
import type { TextFile } from './texts.ts'

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
  const host: Host = {
    session,
    control,
    emit(event) {
      events.push(event)
      onEvent(event, control)
    },
    async sink(run) {
      const sink = memorySink()
      sinks.set(run, sink)
      return sink
    },
  }
  return { host, events, sinks, control }
}
