/** What is foreseen of a mixture, by the uniform runs that were measured beside it. */
import { expect, test } from 'vitest'
import type { RunResult } from '../engine/job/result.ts'
import { measuredOver } from './budget.ts'

const result = (kl: number | null) => ({ kl }) as RunResult
const foreseen = [2, 3, 4].map((bits) => ({ options: { bits }, kl: 10 ** -bits }))
const uniform = [3, 4].map((bits) => ({ options: { bits }, size: bits }))

test('is as much too low as what was foreseen of those', () => {
  expect(measuredOver({ mix: { foreseen, uniform }, uniform: [result(2e-3), result(8e-4)] })).toBeCloseTo(4, 9)
  expect(measuredOver({ mix: { foreseen, uniform }, uniform: [result(3e-3), result(null)] })).toBeCloseTo(3, 9)
  expect(measuredOver({ mix: { foreseen: [], uniform: [] }, uniform: [] })).toBe(1)
})
