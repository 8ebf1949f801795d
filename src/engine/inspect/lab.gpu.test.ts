import { beforeAll, describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { GramCache, runKey } from '../grams.ts'
import type { Options } from '../../options.ts'
import type { Job } from '../job/job.ts'
import type { JobReport } from '../job/report.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyFiles } from '../testing.ts'
import { tryLinear } from './lab.ts'
import { lookAtLinear } from './linear.ts'

const run = (method: string, options: Options): Job['runs'][0] => ({ id: method, label: method, method, options })
const runs = [
  run('quantease_plus', { bits: 3 }),
  run('gptq', { bits: 2, actOrder: true }),
  run('quantease', { bits: 3, iterations: 4, outlier: 0.02 }),
  run('awq', { bits: 4, groupSize: 32 }),
]

let session: Session
let report: JobReport
const grams = new GramCache()
const memory = memoryHost
let host: ReturnType<typeof memory>
beforeAll(async () => {
  session = new Session(testSource(), testTexts())
  await session.open(await tinyFiles(), 'tiny')
  host = memoryHost(session)
  host.host.grams = grams
  const { calibration } = smallJob([])
  report = await runJob(smallJob(runs, { keepSolved: true, calibration: { ...calibration, heldOut: 1 / 3 } }), host.host)
})

const stageOf = (method: string, name: string) => grams.of(runKey(report.started, method), name)

describe('the layer lab', () => {
  it('finds of a linear what the run found, on the sums that it left', async () => {
    for (const { method, options } of runs.slice(0, 3)) {
      const { layers } = report.runs.find((one) => one.run === method)!
      for (const layer of [layers[1], layers.at(-1)!]) {
        const found = await tryLinear(session, layer.name, stageOf(method, layer.name)!, { method, options })
        const what = `${method} on ${layer.name}`
        expect(found.relativeError, what).toBeClose(layer.relativeError, { relative: 1e-5 })
        expect(found.heldOutError, what).toBeClose(layer.heldOutError!, { relative: 1e-5 })
        expect(found.bits).toEqual(layer.bits)
        expect(found.aim).toEqual(layer.aim)
        expect(found.objective?.iterations).toEqual(layer.objective?.iterations)
      }
    }
  })

  it('tries another method on the same sums, and more bits have a smaller error', async () => {
    const { name } = report.runs[0].layers[0]
    const errors = []
    for (const bits of [2, 3, 4, 8]) {
      errors.push(
        (await tryLinear(session, name, stageOf('gptq', name)!, { method: 'quantease', options: { bits, iterations: 3 } })).relativeError,
      )
    }
    expect(errors).toEqual(errors.toSorted((a, b) => b - a))
  })

  it('refuses what it cannot do, by name', async () => {
    const { name } = report.runs[0].layers[0]
    const stage = stageOf('gptq', name)!
    const refused = (method: string, options: Options) => expect(tryLinear(session, name, stage, { method, options })).rejects
    await refused('awq', { bits: 4 }).toMatchObject({ code: 'plan-invalid', message: expect.stringContaining('AWQ') })
    await refused('quantease_plus', { bits: 3 }).toMatchObject({ message: expect.stringContaining('full precision') })
    await refused('rtn', { bits: 7 }).toMatchObject({ code: 'plan-invalid' })
    // AWQ scales the inputs before they are summed up for its solver.
    expect(stageOf('awq', name)).toBeNull()
  })
})

describe('a look at a linear after the job', () => {
  it('shows weights, codes and Σ, and says why something is not there', async () => {
    const { name, shape } = report.runs[0].layers[0]
    const why = { code: 'journal-mismatch' as const, message: 'Gone.', hint: '' }
    const ids = runs.map(({ id }) => id)
    const job = { journal: host.journal, started: report.started }
    const look = await lookAtLinear(session, name, ids, { job, why, grams })
    expect(look.weights).toMatchObject({ seen: { shape } })
    for (const { id } of runs) {
      const { solved, sigma } = look.runs[id]
      expect(solved).toMatchObject({ seen: { bits: runs.find((one) => one.id === id)!.options.bits } })
      if ('seen' in solved) expect(solved.seen.use.reduce((sum, count) => sum + count, 0)).toBe(shape[0] * shape[1])
      expect('seen' in sigma, id).toBe(id !== 'awq')
    }
    expect((await lookAtLinear(session, name, ids, { job: null, why, grams })).runs.gptq.solved).toEqual({ missing: why })
  })
})
