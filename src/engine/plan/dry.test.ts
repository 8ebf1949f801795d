/** Runs foreseen, without a GPU. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { openConfig } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { blankModel } from '../../models/blank.ts'
import { dryDevices } from '../devices.ts'
import { dryRun, memoryProblem } from './dry.ts'
import type { DryDevice } from '../job/catalog.ts'
import type { JobCheck } from '../job/check.ts'
import type { JobReport } from '../job/report.ts'
import { Session } from '../session.ts'
import { testDemo } from '../testing.ts'

const config = {
  model_type: 'llama',
  hidden_size: 256,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  intermediate_size: 768,
  vocab_size: 1000,
  max_position_embeddings: 128,
  torch_dtype: 'bfloat16',
}
const weights = 6 * (4 * 256 * 256 + 3 * 256 * 768 + 2 * 256) + 2 * 1000 * 256 + 256

const blank = async (changes: object = {}) =>
  blankModel((await openConfig(memoryFiles([['tiny/config.json', JSON.stringify({ ...config, ...changes })]])))!)

const run = async (changes: Partial<DryDevice> = {}, of: object = {}) =>
  dryRun(
    await blank(of),
    {
      options: { bits: 2 },
      calibration: { samples: 4, length: 128 },
      evaluation: { samples: 3, length: 4096 },
      device: { ...dryDevices[0], ...changes },
    },
    new Session(undefined),
  )

describe('a dry run of a config.json', () => {
  it('says what every algorithm takes, stage by stage', async () => {
    const { model, tensors, largest, evaluation, baseline, methods } = await run({ gflops: 100 })
    expect(model).toMatchObject({ name: 'tiny', parameters: weights, dtype: 'BF16', weights: false })
    expect(tensors).toEqual({ count: 6 * 9 + 3, bytes: 2 * weights })
    expect(largest).toEqual({ weight: { name: 'mlp.gate_proj', bytes: 786432 }, gram: { name: 'mlp.down_proj', bytes: 768 * 768 * 4 } })
    // Windows are no longer than the model has positions.
    expect(evaluation).toEqual({ windows: 3, length: 128 })
    expect(baseline.readBytes).toBe(2 * weights)
    const dispatches = new Map<string, number>()
    for (const { id, forecast, problem, bitsPerWeight } of methods) {
      expect(problem, id).toBeNull()
      expect(bitsPerWeight!, id).toBeGreaterThan(2)
      expect(forecast!.stages.map(({ stage }) => stage).sort()).toEqual(['baseline', 'calibrate', 'evaluate', 'load', 'propagate', 'solve'])
      expect(forecast!.gpuBytes).toBe(Math.max(...forecast!.stages.map(({ gpuBytes }) => gpuBytes)))
      // So small a model stays on the GPU, and nothing is read again.
      expect(forecast!.readBytes).toBe(0)
      // Operations and reading at their rates, and a hundred thousand dispatches a second.
      const work = (forecast!.flops.forward + forecast!.flops.solve) / 1e11 + forecast!.readBytes / 1e9
      dispatches.set(id, (forecast!.seconds! - work) / 1e-5)
    }
    for (const [id, count] of dispatches) expect(count, id).toBeCloseTo(Math.round(count), 3)
    const blocks = model.blocks * (6 * Math.ceil(256 / 32) + Math.ceil(768 / 32))
    // 30 sweeps are two dispatches a block of columns each.
    expect(dispatches.get('quantease')! - dispatches.get('rtn')!).toBeGreaterThan(30 * 2 * blocks)
    expect(dispatches.get('quantease')! - dispatches.get('rtn')!).toBeLessThan(35 * 2 * blocks)
  })

  it('counts reading every block again where they cannot stay, and states that wait on the host', async () => {
    const { methods } = await run({ memoryBudget: 2 ** 20 })
    expect(methods[0].forecast).toMatchObject({ readBytes: 2 * (weights - 1000 * 256 - 256 + 1000 * 256), seconds: null })
    expect(methods[0].forecast!.hostBytes).toBeGreaterThan((4 + 2 * 3) * 128 * 256 * 4)
  })

  it('counts what passes between host and GPU, and through the file once host memory ends', async () => {
    const rates = { gflops: 100, transferRate: 1e9, memoryBudget: 2 ** 20 }
    const [still, moving, filing] = await Promise.all([run({ ...rates, transferRate: null }), run(rates), run({ ...rates, hostMemory: 0 })])
    for (const [i, { forecast, id }] of moving.methods.entries()) {
      const { seconds, movedBytes, fileTraffic, hostBytes } = forecast!
      expect(seconds! - still.methods[i].forecast!.seconds!, id).toBeClose(movedBytes / 1e9, { relative: 1e-6 })
      expect([fileTraffic, forecast!.fileBytes]).toEqual([0, 0])
      const filed = filing.methods[i].forecast!
      expect(filed.movedBytes).toBe(movedBytes)
      expect(filed.seconds! - seconds!, id).toBeClose(filed.fileTraffic / 1e9, { relative: 1e-6 })
      // Only what is on its way is in memory then.
      expect(filed.hostBytes + filed.fileBytes).toBeGreaterThanOrEqual(hostBytes)
      const most = filed.stages.reduce((a, b) => (b.hostBytes > a.hostBytes ? b : a))
      expect(most.hostHoldings.map(({ holder }) => holder)).toEqual(['on the way between host and GPU'])
    }
    const [{ forecast }] = moving.methods
    for (const { hostBytes, hostHoldings } of forecast!.stages)
      expect(hostHoldings.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(hostBytes)
  })

  it('honours overrides: what stays whole is not solved, and takes its bits', async () => {
    const spec = { label: '', method: 'gptq', options: { bits: 2 } }
    const { methods } = await dryRun(
      await blank(),
      {
        options: {},
        calibration: { samples: 4, length: 128 },
        evaluation: { samples: 3, length: 128 },
        device: dryDevices[0],
        runs: [
          { ...spec, id: 'all' },
          {
            ...spec,
            id: 'some',
            overrides: [{ pattern: 'layers.{0..4}.mlp' }, { pattern: 'layers.5.mlp.down_proj', options: { bits: 8 } }],
          },
          { ...spec, id: 'few', overrides: [{ pattern: 'mlp' }] },
        ],
      },
      new Session(undefined),
    )
    const [all, some, few] = methods
    for (const { problem } of methods) expect(problem).toBeNull()
    // Of each block 4 · 256² and 3 · 256 · 768 weights.
    const share = 9 / 13
    expect(few.bitsPerWeight!).toBeClose(16 * share + (1 - share) * all.bitsPerWeight!, { relative: 0.01 })
    expect(some.bitsPerWeight!).toBeLessThan(few.bitsPerWeight!)
    const peak = ({ forecast }: (typeof methods)[number]) => forecast!.stages.find(({ stage }) => stage === 'solve')!.gpuBytes
    expect(peak(few)).toBeLessThan(peak(some))
    expect(peak(some)).toBeLessThanOrEqual(peak(all))
  })

  it('says who holds the memory at each peak', async () => {
    const { methods } = await run()
    for (const { id, forecast } of methods) {
      for (const { stage, gpuBytes, holdings } of forecast!.stages) {
        const sum = holdings.reduce((all, { bytes }) => all + bytes, 0)
        expect(Math.abs(sum / gpuBytes - 1), `${id}, ${stage}`).toBeLessThan(0.02)
      }
    }
  })

  it('says which linear does not fit, and the least with which it does', async () => {
    const runs = [{ id: 'one', label: '', method: 'gptq', options: {} }]
    const gpuOf = async (memoryBudget: number) =>
      (
        await dryRun(
          await blank(),
          { options: {}, calibration: { samples: 4, length: 32 }, evaluation, device: { ...dryDevices[0], memoryBudget }, runs },
          new Session(undefined),
        )
      ).methods[0]
    const evaluation = { samples: 3, length: 32 }
    const { least } = (await gpuOf(2 ** 20)).forecast!
    expect(least!.linear).toBe('model.layers.0.mlp.down_proj')
    const enough = await gpuOf(least!.bytes)
    expect([enough.forecast!.gpuBytes, enough.forecast!.least, enough.fits]).toEqual([least!.bytes, undefined, true])
    const short = await gpuOf(least!.bytes - 1)
    expect([short.forecast!.least, short.fits]).toEqual([least, false])
  })

  it('refuses what does not fit into memory that is known, and warns where that is an estimate', () => {
    const problem = (linear: string | null, memoryKnown?: boolean) =>
      memoryProblem([{ forecast: { least: { bytes: 9 * 2 ** 30, linear } } }] as JobCheck['runs'], {
        memoryBudget: 4 * 2 ** 30,
        memoryKnown,
      })
    expect(problem('model.layers.0.mlp.down_proj', true)).toMatchObject({
      severity: 'error',
      message: 'Solving model.layers.0.mlp.down_proj takes at least 9.0 GiB of GPU memory; a run may use 4.0 GiB here.',
    })
    expect(problem(null)).toMatchObject({
      severity: 'warning',
      message: 'This needs at least 9.0 GiB of GPU memory; this GPU probably has about 4.0 GiB.',
    })
    expect(memoryProblem([{ forecast: {} }] as JobCheck['runs'], { memoryBudget: 1 })).toBeNull()
  })

  it('says which matrix no buffer holds', async () => {
    const { methods } = await run({ maxBuffer: 2 ** 21 })
    for (const { forecast, problem } of methods) {
      expect(forecast).toBeNull()
      expect(problem).toMatchObject({ code: 'gpu-too-small', message: expect.stringMatching(/Gram matrix of mlp.down_proj takes 2.3 MiB/) })
    }
  })

  it('refuses configs of models that it could not open either', async () => {
    await expect(blank({ model_type: 'mamba' })).rejects.toMatchObject({ code: 'config-unsupported' })
    await expect(blank({ torch_dtype: 'float8_e4m3fn' })).rejects.toMatchObject({ code: 'config-unsupported' })
    await expect(blank({ quantization_config: { bits: 4 } })).rejects.toMatchObject({ code: 'config-unsupported' })
  })

  it('is only for a config.json alone', async () => {
    expect(
      await openConfig(
        memoryFiles([
          ['config.json', '{}'],
          ['tokenizer.json', '{}'],
        ]),
      ),
    ).toBeNull()
    expect(await openConfig(memoryFiles([['weights.json', '{}']]))).toBeNull()
  })
})

it('the recording that comes with the page has the sizes that are planned', async () => {
  const { report }: { report: JobReport } = JSON.parse(await readFile('public/demo/recording.json', 'utf8'))
  const session = new Session(undefined)
  const { otherFiles } = await session.open(await testDemo(), 'demo')
  const { calibration, evaluation, runs } = report.job
  const { methods } = await dryRun(session.model, { options: {}, calibration, evaluation, device: dryDevices[0], runs }, session)
  const copied = otherFiles.reduce((sum, { bytes }) => sum + bytes, 0)
  expect(report.runs.map(({ weightBytes }) => weightBytes! + copied)).toEqual(methods.map(({ checkpointBytes }) => checkpointBytes))
})
