import { beforeAll, describe, expect, it } from 'vitest'
import { testSource } from '../gpu/testing.ts'
import { memoryFiles } from '../io/memory.ts'
import type { RunEvent } from './job.ts'
import { runJob } from './run.ts'
import { Session } from './session.ts'
import { memoryHost, smallJob, testDemo, testTexts } from './testing.ts'

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), testTexts())
  await session.open(await testDemo(), 'demo')
})

const rtn2 = { id: 'a', label: 'RTN 2-bit', method: 'rtn', options: { bits: 2 } }
const ease2 = { id: 'b', label: 'QuantEase 2-bit', method: 'quantease', options: { bits: 2, iterations: 10, trueSequential: true } }
const of = <T extends RunEvent['type']>(events: RunEvent[], type: T) =>
  events.filter((event) => event.type === type) as Extract<RunEvent, { type: T }>[]

describe('a job over the demo model', () => {
  it('measures, quantizes, writes a checkpoint, and the checkpoint measures the same', async () => {
    const { host, events, sinks } = memoryHost(session)
    const report = await runJob(
      smallJob([rtn2, ease2], {
        save: true,
        perplexityEvery: 1,
        calibration: { text: 'demo-calibration', samples: 16, length: 64, sampling: 'random' },
      }),
      host,
    )
    expect(report.fpPerplexity).toBeGreaterThan(1.5)
    expect(report.fpPerplexity).toBeLessThan(3)
    const [rtn, ease] = report.runs
    expect([rtn.state, ease.state]).toEqual(['finished', 'finished'])
    expect(rtn.error ?? rtn.exportError).toBeUndefined()
    expect(rtn.layers.length).toBe(28)
    expect(ease.meanRelativeError!).toBeLessThan(rtn.meanRelativeError!)
    expect(ease.perplexity!).toBeLessThan(rtn.perplexity!)
    expect(ease.perplexity!).toBeGreaterThan(report.fpPerplexity!)
    expect(of(events, 'perplexity').map(({ run, blocks }) => `${run}${blocks}`)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'b3', 'b4'])
    expect(of(events, 'objective').every(({ points }) => points.every(({ value }) => Number.isFinite(value)))).toBe(true)

    for (const run of report.runs) {
      expect(run.export?.files.map(({ path }) => path).sort()).toEqual(
        [
          'config.json',
          'generation_config.json',
          'model.safetensors',
          'quantize_config.json',
          'tokenizer.json',
          'tokenizer_config.json',
        ].sort(),
      )
      const again = new Session(testSource(), testTexts())
      const summary = await again.open(memoryFiles(sinks.get(run.run)!.files))
      expect(summary.quantized).toMatchObject({
        bits: 2,
        symmetric: false,
        format: 'GPTQ v2',
        method: run.run === 'a' ? 'rtn' : 'quantease',
      })
      const { host: second } = memoryHost(again)
      const { fpPerplexity } = await runJob(smallJob([], { evaluation: report.job.evaluation }), second)
      expect(Math.abs(fpPerplexity! / run.perplexity! - 1)).toBeLessThan(1e-3)
      ;(await again.gpu()).destroy()
    }
  })
})
