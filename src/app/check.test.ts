import { expect, test } from 'vitest'
import type { JobCheck } from '../engine/job/check.ts'
import type { Job } from '../engine/job/job.ts'
import { knownOf } from './check.ts'

const run = { id: 'run-1', label: 'RTN 3-bit', method: 'rtn', options: { bits: 3 } }
const job = { runs: [run], seed: 0 } as unknown as Job
const result = { runs: [{ id: 'run-1', bitsPerWeight: 3.25 }] } as JobCheck

test('figures of a run stay while texts or its name change, and go with its options', () => {
  const last = { job, result }
  const known = (change: object, whole: object = {}) => knownOf(last, { ...job, ...whole, runs: [{ ...run, ...change }] }, 'run-1')
  expect(known({})).toBe(result.runs[0])
  expect(known({ label: 'mine' }, { seed: 1 })).toBe(result.runs[0])
  expect(known({ options: { kind: 'q2_k' } })).toBeNull()
  expect(known({ overrides: [{ pattern: '*' }] })).toBeNull()
  expect(known({}, { formats: ['gguf'] })).toBeNull()
  expect(knownOf(null, job, 'run-1')).toBeNull()
})
