import { expect, test } from 'vitest'
import type { Job } from '../engine/job/job.ts'
import { Session } from '../engine/session.ts'
import { readArguments } from './arguments.ts'
import { understand } from './asked.ts'
import { dryText, foresee, refuse } from './dry-run.ts'

const job: Job = {
  runs: [
    { id: 'run-1', label: 'Coarse', method: 'rtn', options: { bits: 2 } },
    { id: 'run-2', label: 'Fine', method: 'quantease', options: { bits: 4, groupSize: 32, iterations: 3 } },
  ],
  calibration: { text: 'demo-calibration', samples: 8, length: 64, sampling: 'random', heldOut: 0.25 },
  evaluation: { text: 'demo-evaluation', samples: 4, length: 32 },
  seed: 0,
  perplexityEvery: 0,
  save: false,
}

test('the runs of a job file are foreseen as it plans them', async () => {
  const session = new Session(undefined)
  const given = readArguments(session.catalog, ['--model', 'demo', '--dry-run', '--device', 'rtx-4090'])
  const { methods, calibration, evaluation } = await foresee(session, given, understand(session.catalog, given), job)
  expect([calibration, evaluation]).toMatchObject([
    { windows: 8, length: 64 },
    { windows: 4, length: 32 },
  ])
  expect(methods.map(({ label, problem }) => [label, problem])).toEqual([
    ['Coarse', null],
    ['Fine', null],
  ])
  expect(methods[0].bitsPerWeight).toBeCloseTo(2 + 15 / 128, 1)
  expect(methods[1].bitsPerWeight).toBeGreaterThan(4.5)
  expect(methods[1].forecast!.flops.solve).toBeGreaterThan(methods[0].forecast!.flops.solve)
})

test('a dry run tells for each method what it lacks, and which format refuses it', async () => {
  const session = new Session(undefined)
  const survey = async (...args: string[]) => {
    const given = readArguments(session.catalog, ['--model', 'demo', '--dry-run', '--device', 'rtx-4090', '--nsamples', '4', ...args])
    return foresee(session, given, understand(session.catalog, given), null)
  }
  const run = await survey('--type', 'q4_0', '--format', 'gptq')
  const of = (id: string) => run.methods.find((one) => one.id === id)!
  expect(of('awq')).toMatchObject({ without: ['Type'], problem: null })
  expect(of('rtn').problem!.message).toContain('GPTQ files can store uniform integer grids only, not Q4_0.')
  expect(() => refuse(run, null)).not.toThrow()
  expect(dryText(run)).toMatch(/^AWQ \(it has no Type: not as asked for\): /m)
  expect(() => refuse({ ...run, methods: [of('rtn')] }, null)).toThrow('only, not Q4_0')
}, 60_000)
