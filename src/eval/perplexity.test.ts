import { expect, test } from 'vitest'
import { scoreOf, type WindowScore } from './perplexity.ts'

const window = (loss: number, kls: number[]): WindowScore => ({
  loss,
  kl: kls.reduce((sum, value) => sum + value, 0) / kls.length,
  top1: 1,
  kls: Float64Array.from(kls),
})

test('the spread of KL is that over all positions, its error that over windows', () => {
  const score = scoreOf([window(1, [4, 1, 3]), window(2, [0, 2, 100]), window(3, [5, 6, 7])])
  expect(score.klSpread!.median).toBe(4)
  expect(score.klSpread!.max).toBe(100)
  // numpy.quantile of the nine, 0.99: between 7 and 100 at 0.92.
  expect(score.klSpread!.p99).toBeCloseTo(7 + 0.92 * 93, 10)
  const means = [8 / 3, 34, 6]
  const mean = (8 / 3 + 34 + 6) / 3
  const error = Math.sqrt(means.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2 / 3)
  expect(score.klSpread!.error).toBeCloseTo(error, 10)
  expect(score.kl).toBeCloseTo(mean, 12)
  expect(score.windows).toEqual({ loss: [1, 2, 3], kl: [2.6666667, 34, 6] })
})

test('a single window has no error, and no reference no KL', () => {
  expect(scoreOf([window(1, [1, 2])]).klSpread).toEqual({ error: null, median: 1.5, p99: 1.99, max: 2 })
  const bare = scoreOf([{ loss: 1, kl: Number.NaN, top1: Number.NaN }])
  expect(bare.klSpread).toBeUndefined()
  expect(bare.windows).toEqual({ loss: [1] })
})
