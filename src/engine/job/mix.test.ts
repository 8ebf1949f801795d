/** What is foreseen of a mixture: by prices alone, or by the uniform runs that were measured beside it. */
import { expect, test } from 'vitest'
import { foreseenAt, foreseenKl } from './mix.ts'

const mix = { foreseen: [2, 3, 4].map((bits) => ({ options: { bits }, kl: 10 ** -bits })) }
const measured = (...kls: (number | null)[]) => kls.map((kl, i) => ({ options: { bits: 3 + i }, kl }))

test('is as far off as what was foreseen of those', () => {
  expect(foreseenKl(mix, 5e-4, measured(2e-3, 8e-4))).toEqual({ kl: expect.closeTo(4 * 5e-4, 9), by: 'measured' })
  expect(foreseenKl(mix, 5e-4, measured(3e-3, null))).toEqual({ kl: expect.closeTo(3 * 5e-4, 9), by: 'measured' })
})

test('is by prices where nothing comparable was measured', () => {
  expect(foreseenKl(mix, 5e-4)).toEqual({ kl: 5e-4, by: 'prices' })
  expect(foreseenKl({ foreseen: [] }, 5e-4, measured(1))).toEqual({ kl: 5e-4, by: 'prices' })
  expect(foreseenAt(mix, { bits: 3 })).toEqual({ kl: 1e-3, by: 'prices' })
  expect(foreseenAt(mix, { bits: 8 })).toBeNull()
})
