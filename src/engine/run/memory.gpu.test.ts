/** A run with a quarter of the memory that it would take ends in the same bytes: what waits goes to the host and comes back. */
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import type { WebGpuDevice } from '../../gpu/webgpu.ts'
import { memoryFiles } from '../../io/memory.ts'
import { safetensorsOf, type TinyConfig, tinyTensors } from '../../models/testing.ts'
import type { RunSpec } from '../job.ts'
import { memoryHost, smallJob, testTexts, tinyConfig } from '../testing.ts'
import { Session } from '../session.ts'
import { runJob } from './run.ts'

const config: TinyConfig = { ...tinyConfig, num_hidden_layers: 2, hidden_size: 64, intermediate_size: 192 }
const runs: RunSpec[] = [
  { id: 'rtn', label: 'RTN', method: 'rtn', options: { bits: 4 } },
  { id: 'gptq', label: 'GPTQ', method: 'gptq', options: { bits: 3, actOrder: true } },
  { id: 'plus', label: 'QuantEase+', method: 'quantease_plus', options: { bits: 3, iterations: 2, trueSequential: true } },
  { id: 'awq', label: 'AWQ', method: 'awq', options: { bits: 4, groupSize: 32 } },
]
const sessions: Session[] = []
afterAll(async () => {
  for (const session of sessions) (await session.gpu()).destroy()
})

async function run(memory?: number) {
  const session = new Session(testSource(), testTexts(), null, { memory })
  sessions.push(session)
  await session.open(
    memoryFiles([
      ['config.json', JSON.stringify(config)],
      ['model.safetensors', safetensorsOf(tinyTensors(config, 5))],
      ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
    ]),
    'tiny',
  )
  const { host, sinks } = memoryHost(session)
  const report = await runJob(smallJob(runs, { save: true }), host)
  const gpu = (await session.gpu()) as WebGpuDevice
  return { report, peak: gpu.memory.peak, files: new Map(Array.from(sinks, ([id, sink]) => [id, sink.files.get('model.safetensors')!])) }
}

test('every method, with room and without', async () => {
  const whole = await run()
  const small = await run(whole.peak / 4)
  for (const { id } of runs) {
    const [a, b] = [whole, small].map(({ report }) => report.runs.find((one) => one.run === id)!)
    expect([b.error, b.exportError]).toEqual([undefined, undefined])
    expect(b.layers.map(({ relativeError, heldOutError }) => [relativeError, heldOutError])).toEqual(
      a.layers.map(({ relativeError, heldOutError }) => [relativeError, heldOutError]),
    )
    expect(b.perplexity).toBe(a.perplexity)
    expect(Buffer.compare(small.files.get(id)!, whole.files.get(id)!)).toBe(0)
  }
  expect(small.peak).toBeLessThan(whole.peak)
}, 240_000)
