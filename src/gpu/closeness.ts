/** `expect(values).toBeClose(expected, { absolute, relative, ofLargest })`: compares arrays of numbers, and reports where they differ. */
import { expect } from 'vitest'

export interface Tolerance {
  /** Allowed for each pair: so much, ... */
  absolute?: number
  /** ... and this share of what is expected, ... */
  relative?: number
  /** ... and this share of the largest number that is expected. */
  ofLargest?: number
}

/** Pairs that a message shows. */
const SHOWN = 5

interface Pair {
  index: number
  got: number
  expected: number
  difference: number
}

export interface Comparison {
  /** Pairs that are further apart than allowed; one with NaN on one side only is infinitely far. */
  wrong: Pair[]
  /** The pair that is furthest apart. */
  worst: Pair | null
  allowed(expected: number): number
}

export function compare(got: ArrayLike<number>, expected: ArrayLike<number>, tolerance: Tolerance = {}): Comparison {
  const { absolute = 0, relative = 0, ofLargest = 0 } = tolerance
  let largest = 0
  if (ofLargest) for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]))
  const flat = absolute + ofLargest * largest
  const allowed = (value: number) => flat + (relative ? relative * Math.abs(value) : 0)
  const wrong: Pair[] = []
  let worst: Pair | null = null
  for (let index = 0; index < expected.length; index++) {
    const pair = { index, got: got[index], expected: expected[index], difference: apart(got[index], expected[index]) }
    if (!worst || pair.difference > worst.difference) worst = pair
    if (pair.difference === Number.POSITIVE_INFINITY || pair.difference > allowed(pair.expected)) wrong.push(pair)
  }
  return { wrong, worst, allowed }
}

/** Equal infinities, and NaN twice, are not apart. */
function apart(a: number, b: number): number {
  if (Object.is(a, b)) return 0
  const difference = Math.abs(a - b)
  return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference
}

export function describeComparison({ wrong, worst, allowed }: Comparison, count: number): string {
  const shown = ({ index, got, expected, difference }: Pair) =>
    `  [${index}]: ${got}, expected ${expected}; ${difference.toPrecision(3)} apart, ${allowed(expected).toPrecision(3)} allowed`
  const lines = [`${wrong.length} of ${count} numbers are further apart than allowed:`, ...wrong.slice(0, SHOWN).map(shown)]
  if (wrong.length > SHOWN) lines.push(`  and ${wrong.length - SHOWN} more`)
  if (worst) lines.push(`the largest difference:`, shown(worst))
  return lines.join('\n')
}

expect.extend({
  toBeClose(got: ArrayLike<number> | number, expected: ArrayLike<number> | number, tolerance?: Tolerance) {
    const [a, b] = [got, expected].map((value) => (typeof value === 'number' ? [value] : value))
    if (a?.length !== b.length) return { pass: false, message: () => `${a?.length} numbers cannot be close to ${b.length}.` }
    const comparison = compare(a, b, tolerance)
    const pass = comparison.wrong.length === 0
    return {
      pass,
      message: () => (pass ? `All ${b.length} numbers are as close as allowed.` : describeComparison(comparison, b.length)),
    }
  },
})

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: as vitest declares it
  interface Matchers<T = any> {
    /** Numbers, one by one: |got − expected| ≤ absolute + relative · |expected| + ofLargest · max |expected|. NaN is close to NaN only. */
    toBeClose(expected: ArrayLike<number> | number, tolerance?: Tolerance): void
  }
}
