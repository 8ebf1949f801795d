/** Whole jobs with held-out windows, chosen damping and a corrected target. */
import { beforeAll, describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { type MemoryStore, memoryStore } from '../../io/memory.ts'
import { handicapOf } from '../../quant/choice.ts'
import type { Options } from '../../options.ts'
import type { Job } from '../job/job.ts'
import type { JobReport } from '../job/report.ts'
import { checkJob } from '../plan/dry.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyFiles } from '../testing.ts'
import { runJob } from './run.ts'

const run = (method: string, options: Options): Job['runs'][0] => ({ id: method, label: method, method, options })
const { calibration } = smallJob([])
const heldOut = { calibration: { ...calibration, samples: 6, heldOut: 1 / 3 } }

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), testTexts())
  await session.open(await tinyFiles(), 'tiny')
})

/** What a job finds, but for the time it took. */
const found = ({ runs }: JobReport) =>
  runs.map(({ seconds: _, export: __, layers, ...result }) => ({ ...result, layers: layers.map(({ seconds: _, ...layer }) => layer) }))

describe('held-out windows', () => {
  it('leave what published methods find as it is, and every linear has an error on them', async () => {
    const runs = [
      run('rtn', { bits: 3 }),
      run('gptq', { bits: 3, trueSequential: true }),
      run('quantease', { bits: 3, iterations: 3 }),
      run('spqr', { bits: 3 }),
      run('awq', { bits: 4, groupSize: 32 }),
    ]
    const changes = { save: true }
    const [plain, held] = [memoryHost(session), memoryHost(session)]
    const before = await runJob(smallJob(runs, { ...changes, calibration: { ...heldOut.calibration, heldOut: 0 } }), plain.host)
    const after = await runJob(smallJob(runs, { ...changes, ...heldOut }), held.host)
    expect([before.calibration.heldOut, after.calibration.heldOut]).toEqual([undefined, 2])
    for (const [i, result] of after.runs.entries()) {
      expect(result.error).toBeUndefined()
      const weights = (host: typeof held) => host.sinks.get(result.run)!.files.get('model.safetensors')
      expect(weights(held), result.run).toEqual(weights(plain))
      expect(before.runs[i].layers.every(({ heldOutError }) => heldOutError === undefined)).toBe(true)
      for (const [j, layer] of result.layers.entries()) {
        expect(layer.relativeError).toBe(before.runs[i].layers[j].relativeError)
        // Of another text, but of the same size: rounding errors do not depend on the tokens much.
        expect(layer.heldOutError! / layer.relativeError).toBeGreaterThan(0.2)
        expect(layer.heldOutError! / layer.relativeError).toBeLessThan(20)
      }
      const mean = result.layers.reduce((sum, { heldOutError }) => sum + heldOutError!, 0) / result.layers.length
      expect(result.meanHeldOutError).toBeCloseTo(mean, 12)
    }
  })

  it('are refused by a share that is none, and missed with a sentence where the text has no room', async () => {
    const job = smallJob([run('rtn', { bits: 3 })])
    const wrong = await checkJob({ ...job, calibration: { ...calibration, heldOut: 2 } }, session)
    expect(wrong.problems.find(({ severity }) => severity === 'error')).toMatchObject({
      field: 'calibration.heldOut',
      message: 'The held-out share has to be from 0 to 1, not 2.',
    })
    const samples = Math.floor(wrong.calibration?.text ?? 73_979 / calibration.length)
    const full = await checkJob({ ...job, calibration: { ...calibration, samples: Math.min(samples, 1155), heldOut: 0.5 } }, session)
    expect(full.problems.find(({ field }) => field === 'calibration.heldOut')?.message).toContain('there is room for')
  })
})

describe('chosen damping and target', () => {
  const aimed = [
    run('quantease_plus', { bits: 2, iterations: 4, quick: true, rounds: 1, trueSequential: true }),
    run('gptq', { bits: 2, target: 'corrected', targetAlpha: 0.5 }),
  ]
  const job = smallJob(aimed, heldOut)

  it('are recorded for each linear, alike within a stage, and the choice is the least error of the trials with its handicap', async () => {
    const report = await runJob(job, memoryHost(session).host)
    expect(report.runs.map(({ error }) => error)).toEqual([undefined, undefined])
    const [plus, gptq] = report.runs
    for (const { aim } of plus.layers) {
      const best = aim!.trials.reduce((a, b) => (b.error * handicapOf(b) < a.error * handicapOf(a) ? b : a))
      expect({ damping: aim!.damping, alpha: aim!.alpha }).toEqual({ damping: best.damping, alpha: best.alpha })
    }
    const [q, k, v] = plus.layers
    expect([k.aim, v.aim]).toEqual([q.aim, q.aim])
    for (const { aim } of gptq.layers) expect(aim).toEqual({ damping: 0.01, alpha: 0.5, trials: [] })
    // In the first block nothing has drifted before the second stage of a true-sequential run.
    expect(
      new Set(plus.layers[0].aim!.trials.filter(({ damping }) => damping === plus.layers[0].aim!.damping).map(({ error }) => error)).size,
    ).toBe(1)
  })

  it('are the same whether paused blocks fit on the GPU or start again', async () => {
    const gpu = await session.gpu()
    const results: unknown[] = []
    for (const budget of [gpu.memoryBudget, 1]) {
      Object.defineProperty(gpu, 'memoryBudget', { value: budget, configurable: true })
      results.push(found(await runJob(job, memoryHost(session).host)))
    }
    Reflect.deleteProperty(gpu, 'memoryBudget')
    expect(results[1]).toEqual(results[0])
  })

  it('go on from the journal to the same results', async () => {
    const moments: MemoryStore[] = []
    const copy = ({ files }: MemoryStore) => memoryStore(new Map([...files].map(([name, bytes]) => [name, bytes.slice()])))
    const whole = memoryHost(session, (event) => {
      if (event.type === 'layer') moments.push(copy(whole.journal))
    })
    const expected = found(await runJob(job, whole.host))
    // Within a stage of the second block of the first run, and of the first block of the second.
    for (const at of [8, 15]) {
      const { host } = memoryHost(session)
      const report = await runJob(job, { ...host, journal: moments[at] }, { resume: true })
      expect(found(report), `from linear ${at}`).toEqual(expected)
    }
  })

  it.each(aimed)('$method holds as much memory as foreseen', async (one) => {
    const alone = smallJob([one], heldOut)
    const { runs } = await checkJob(alone, session)
    const gpu = await session.gpu()
    gpu.trim()
    const before = gpu.memory.held
    gpu.memory.peak = before
    await runJob(alone, memoryHost(session).host)
    const { gpuBytes } = runs[0].forecast!
    expect(gpuBytes / (gpu.memory.peak - before)).toBeGreaterThan(0.95)
    // A stage may be found to do without damping, and then without a second matrix.
    expect(gpuBytes / (gpu.memory.peak - before)).toBeLessThan(1.15)
  })

  it('and the amount of calibration tokens count each token of the text once', async () => {
    const job = smallJob([run('rtn', { bits: 3 })])
    const often = { ...calibration, samples: 4000, length: 64, sampling: 'random' as const, heldOut: 0.01 }
    const { calibration: counts, problems } = await checkJob({ ...job, calibration: often }, session)
    expect(counts!.distinct).toBeLessThanOrEqual(counts!.text!)
    expect(problems.find(({ field }) => field === 'calibration.samples')?.message).toMatch(/overlap: their 256,000 tokens are [\d,]+ of/)
    expect(problems.find(({ field }) => field === 'calibration.heldOut')?.message).toContain('there is room for')
  })
})
