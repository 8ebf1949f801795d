/** The matcher itself: what it lets pass, and what it says of the rest. */
import { expect, test } from 'vitest'

const message = (check: () => void) => {
  try {
    check()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('This should have failed.')
}

test('passes numbers within the sum of what is allowed, and nothing else', () => {
  expect([1, 100, -0.5]).toBeClose([1.1, 109, -0.5], { absolute: 0.1001, relative: 0.09 })
  expect([1, 100]).not.toBeClose([1.1, 109], { absolute: 0.1001 })
  expect([1e-3, 100]).toBeClose([0, 100], { ofLargest: 1e-5 })
  expect([1.1e-3, 100]).not.toBeClose([0, 100], { ofLargest: 1e-5 })
  expect(Float32Array.of(1, 2)).toBeClose(Float64Array.of(1, 2))
  expect([1, 2]).not.toBeClose([1, 2.0000001])
  expect(3).toBeClose(3.1, { relative: 0.04 })
})

test('NaN and infinities are close to themselves only', () => {
  const { NaN: nan, POSITIVE_INFINITY: most, NEGATIVE_INFINITY: least } = Number
  expect([nan, most, least]).toBeClose([nan, most, least], { absolute: 1 })
  for (const [got, expected] of [
    [nan, 0],
    [0, nan],
    [most, 1e300],
    [most, least],
    [0, most],
  ]) {
    expect([got]).not.toBeClose([expected], { absolute: 1, relative: 1e-3 })
  }
})

test('is not content with fewer or more numbers', () => {
  expect(message(() => expect([1, 2]).toBeClose([1, 2, 3], { absolute: 9 }))).toBe('2 numbers cannot be close to 3.')
  expect(message(() => expect(undefined).toBeClose([1]))).toContain('cannot be close to 1')
})

test('tells the first pairs that are apart, how many there are, and the largest difference', () => {
  const expected = Float64Array.from({ length: 100 }, (_, i) => i)
  const got = expected.map((value) => (value % 10 === 3 ? value + 0.01 * value : value))
  expect(message(() => expect(got, 'seed 7').toBeClose(expected, { absolute: 0.2 }))).toBe(
    [
      'seed 7: 8 of 100 numbers are further apart than allowed:',
      '  [23]: 23.23, expected 23; 0.230 apart, 0.200 allowed',
      '  [33]: 33.33, expected 33; 0.330 apart, 0.200 allowed',
      '  [43]: 43.43, expected 43; 0.430 apart, 0.200 allowed',
      '  [53]: 53.53, expected 53; 0.530 apart, 0.200 allowed',
      '  [63]: 63.63, expected 63; 0.630 apart, 0.200 allowed',
      '  and 3 more',
      'the largest difference:',
      '  [93]: 93.93, expected 93; 0.930 apart, 0.200 allowed',
    ].join('\n'),
  )
})
