/**
 * Checkpoints and journals of one block of the demo, by their SHA-256, as they were when they were recorded: what only moves
 * code must not move a bit of them. An adapter with another arithmetic makes others, so there is nothing to compare there.
 * Where results are meant to change, put in the digests that the failing test prints.
 */
import { describe, expect, it } from 'vitest'
import type { Score } from '../../eval/perplexity.ts'
import { testSource } from '../../gpu/testing.ts'
import { memoryStore } from '../../io/memory.ts'
import { sha256 } from '../../io/digest.ts'
import type { Options } from '../../options.ts'
import type { GpuSummary } from '../job/device.ts'
import type { LayerResult } from '../job/result.ts'
import { Log } from '../keep/log.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testDemo, testTexts } from '../testing.ts'

/** Of the bits that `probeArithmetic` reads on the adapter of the recording, SwiftShader on x86-64. */
const RECORDED_ON = '60e946620c9216a0'

const recorded: [method: string, options: Options, checkpoint: string, journal: string][] = [
  ['rtn', { bits: 3 }, 'dcae2cec56393b34', 'bdb0ec810a8a676d'],
  ['rtn', { bits: 4, groupSize: 32, symmetric: true, grid: 'mse' }, '0d3409718125f0d4', '69376263b79e52f0'],
  ['rtn', { bits: 8, grid: 'weighted' }, '3220ea44f983c538', '105edeebb59ab318'],
  ['gptq', { bits: 3, groupSize: 32, actOrder: true }, '90f8a5158820c598', '848defa871f78d24'],
  ['gptq', { bits: 2, groupSize: 64, actOrder: true, staticGroups: true }, '96fcb9038be86714', 'bdce5b5f74e9d62d'],
  ['quantease', { bits: 3, iterations: 4, trueSequential: true }, 'cae45f653924f36d', '322d7a7e2b8a7504'],
  ['quantease', { bits: 3, iterations: 4, outlier: 0.01 }, '2dc492a87616e655', '04aaa458fd84f2c1'],
  ['quantease', { bits: 3, iterations: 4, outlier: 0.02, structureOutlier: true }, '1ca976bb5dc31040', '0f5b80ecf30305e7'],
  ['gptq_quantease', { bits: 4, iterations: 2 }, 'e87b8d8a408a2576', '0406e0b2d96b00ad'],
  ['spqr', { bits: 3 }, '9d656ea202aeffbe', '6c77047a0e968678'],
  ['awq', { bits: 4, groupSize: 32 }, '3d4f2c2f54fd2731', 'f11941cf862e5de6'],
  ['quantease_plus', { bits: 3, iterations: 2 }, '029147f5783b5bda', '32cc517c24587bfd'],
]

async function digestOf(...parts: ArrayBufferView[]): Promise<string> {
  const each = await Promise.all(parts.map(sha256))
  return (await sha256(new TextEncoder().encode(each.join()))).slice(0, 16)
}

/** One form of products, whatever a measurement on a busy machine finds faster. */
class DirectSession extends Session {
  override async gpuSummary(): Promise<GpuSummary> {
    return { ...(await super.gpuSummary()), gemmKernel: 'direct' }
  }
}

const session = new DirectSession(testSource(), testTexts())
await session.open(await testDemo())
const arithmetic = await digestOf(Uint32Array.from((await session.adapterTraits()).arithmetic))
const here = arithmetic === RECORDED_ON
if (!here) console.warn(`Nothing is recorded for an adapter with the arithmetic ${arithmetic}.`)

describe.skipIf(!here)('one block of the demo', () => {
  it.each(recorded)('%s %o', async (method, options, checkpoint, journal) => {
    const { host, control, sinks } = memoryHost(session)
    // Journals tell the time.
    Object.defineProperty(control, 'clock', { get: () => 0 })
    const kept = memoryStore()
    const store = { ...kept, remove: async () => {} }
    const run = { id: 'run', label: method, method, options: { ...options, blocks: 1 } }
    const { runs } = await runJob(smallJob([run], { save: true }), { ...host, journal: store })
    expect(runs.map(({ error, exportError }) => [error, exportError])).toEqual([[undefined, undefined]])
    // Card and report are words, and name the adapter; what a configuration says has tests of its own.
    const told = ['README.md', 'quantization_report.json', 'config.json', 'quantize_config.json']
    const files = [...sinks.get('run')!.files].filter(([name]) => !told.includes(name)).sort(([a], [b]) => (a < b ? -1 : 1))
    const names = files.map(([name]) => new TextEncoder().encode(name))
    const found = { checkpoint: await digestOf(...names, ...files.map(([, bytes]) => bytes)), journal: await journalDigest(kept) }
    expect(found, `${method} ${JSON.stringify(options)}`).toEqual({ checkpoint, journal })
  })
})

/** Of what is kept of each linear but its notes, which are words, what it took and how many codes its sweeps changed, and of each score but what windows and positions add to it. */
async function journalDigest(store: ReturnType<typeof memoryStore>): Promise<string> {
  const log = await Log.open(store, 'run-0')
  const parts: ArrayBufferView[] = []
  for (const key of log.keys()) {
    const { layer, windows, klSpread, ...value } = log.get<{ layer?: LayerResult } & Partial<Score>>(key) ?? {}
    if (key.startsWith('score:')) expect([windows?.kl?.length, klSpread?.max]).toEqual([4, expect.any(Number)])
    const { notes: _, products: __, ...rest } = layer ?? {}
    const told = (name: string, one: unknown) => (name === 'changed' ? undefined : one)
    parts.push(new TextEncoder().encode(JSON.stringify([key, { ...rest, ...value }], told)))
    parts.push(...Object.values((await log.arrays(key)) ?? {}))
  }
  return digestOf(...parts)
}
