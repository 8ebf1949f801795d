import { describe, expect, test } from 'vitest'
import type { Job } from '../engine/job/job.ts'
import type { RunResult } from '../engine/job/result.ts'
import { answerOf, bestAtEqualStorage, frontOf, isTie, paired, perplexityChange, perplexityChangeError, uniformAnswer } from './judge.ts'
import { begin, type JobView } from './reduce.ts'

const run = (label: string, bitsPerWeight: number, kl: number[], loss: number[] = kl) => ({ label, bitsPerWeight, kl, loss })
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

/** A job that has ended with these runs. */
function viewOf(runs: ReturnType<typeof run>[], full: number[] = [1, 1, 1, 1]): JobView {
  const view = begin({ runs: runs.map(({ label }, i) => ({ id: `run-${i}`, label, method: 'rtn', options: {} })) } as unknown as Job)
  const results = runs.map(
    ({ bitsPerWeight, kl, loss }, i) =>
      ({
        run: `run-${i}`,
        state: 'finished',
        bitsPerWeight,
        kl: mean(kl),
        perplexity: Math.exp(mean(loss)),
        windows: kl.length > 1 ? { loss, kl } : undefined,
      }) as RunResult,
  )
  return {
    ...view,
    phase: 'over',
    fpPerplexity: Math.exp(mean(full)),
    fpWindows: { loss: full },
    runs: view.runs.map((one, i) => ({ ...one, state: 'finished', result: results[i] })),
  }
}

describe('differences', () => {
  test('are judged pair by pair: windows differ by far more than the models do', () => {
    const a = [1, 5, 2, 9, 4]
    const b = a.map((value, i) => value + 0.1 + 0.01 * (i % 2))
    const found = paired(b, a)!
    // By hand: differences 0.10, 0.11, 0.10, 0.11, 0.10; mean 0.104, variance 4 · … = 3e-5.
    expect(found.value).toBeCloseTo(0.104, 12)
    expect(found.error).toBeCloseTo(Math.sqrt(3e-5 / 5), 12)
    expect(isTie(a, b)).toBe(false)
    expect(isTie([1, 2, 3], [2, 1, 3.1])).toBe(true)
  })

  test('have no error on one window, and none without the same windows', () => {
    expect(paired([1], [2])).toEqual({ value: -1, error: null })
    expect(paired([1, 2], [1])).toBeNull()
    expect(paired(undefined, [1])).toBeNull()
    expect(isTie([1], [1])).toBe(false)
  })

  test('of perplexities have the error that leaving windows out finds', () => {
    const full = Array.from({ length: 60 }, (_, i) => 2 + 0.3 * Math.sin(i * i))
    const quantized = full.map((loss, i) => loss + 0.2 + 0.05 * Math.cos(3 * i))
    const change = (skip: number) => {
      const without = (values: number[]) => Math.exp(mean(values.filter((_, i) => i !== skip)))
      return without(quantized) - without(full)
    }
    const each = full.map((_, i) => change(i))
    const jackknife = Math.sqrt((59 / 60) * each.reduce((sum, one) => sum + (one - mean(each)) ** 2, 0))
    expect(perplexityChangeError(full, quantized)! / jackknife).toBeCloseTo(1, 1)
  })
})

test('a change of perplexity within twice its error is a tie, however many digits it has', () => {
  const full = [0.6, 0.61, 0.59, 0.6]
  const mean = (losses: number[]) => Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length)
  const of = (loss: number[]) =>
    perplexityChange({ fpPerplexity: mean(full), fpWindows: { loss: full } }, { perplexity: mean(loss), windows: { loss } } as RunResult)
  expect(of(full.map((loss, i) => loss + [0.002, 0.001, 0.002, 0.001][i]))).toEqual({
    text: '+0.00274',
    error: '0.00052',
    verdict: 'worse',
  })
  expect(of(full.map((loss, i) => loss + [0.002, -0.001, 0.002, 0.001][i]))).toMatchObject({ verdict: 'tie' })
  expect(of(full.map((loss) => loss - 0.25))).toMatchObject({ verdict: 'better' })
  expect(of(full)).toEqual({ text: '0.00', error: '0.00', verdict: 'tie' })
})

describe('the answer', () => {
  test('is who loses least of those that store as much, and what more bits buy', () => {
    const view = viewOf([
      run('RTN', 3.12, [0.9, 1.0, 1.1, 1.2], [2, 2.1, 2.2, 2.3]),
      run('QuantEase+', 3.13, [0.27, 0.28, 0.28, 0.29], [1.2, 1.25, 1.2, 1.3]),
      run('SpQR', 4.38, [0.1, 0.11, 0.1, 0.11]),
    ])
    expect(answerOf(view)).toBe(
      'At 3.13 bits per weight, QuantEase+ loses least: KL 0.28, perplexity +0.729 ± 0.083; SpQR is better with 1.25 bits more.',
    )
  })

  test('is a tie within the error of the difference', () => {
    const view = viewOf([run('A', 3, [0.2, 0.3, 0.4, 0.3]), run('B', 3, [0.3, 0.2, 0.35, 0.36]), run('C', 3.01, [0.9, 0.95, 1, 0.9])])
    expect(answerOf(view)).toBe('At 3.00 bits per weight, A and B tie for the least loss: KL 0.30, apart by 0.0025 ± 0.047.')
  })

  test('names what does as well with less', () => {
    const view = viewOf([run('A', 3, [0.2, 0.3, 0.4]), run('B', 2, [0.3, 0.2, 0.4]), run('C', 3, [0.9, 0.9, 1])])
    expect(answerOf(view)).toContain('A loses least: KL 0.30')
    expect(answerOf(view)).toContain('; B ties with it at 1.00 bits less.')
  })

  test('compares nothing at a size that only one run has', () => {
    const each = (value: number) => [value - 0.01, value, value + 0.01]
    const view = viewOf([run('RTN 2-bit', 2.12, each(0.5)), run('B', 3, each(0.3)), run('C', 3.5, each(0.4)), run('D', 4.25, each(0.02))])
    expect(answerOf(view)).toMatch(
      /^No two runs take as many bits per weight\. D loses least, at 4\.25: KL 0\.020, perplexity .*; B loses KL 0\.30 at 3\.00; RTN 2-bit loses KL 0\.50 at 2\.12\.$/,
    )
  })

  test('says when there is no telling', () => {
    expect(answerOf(viewOf([]))).toBeNull()
    expect(answerOf(viewOf([run('A', 3, [0.2])]))).toBe(
      'At 3.00 bits per weight, A loses: KL 0.20, perplexity −0.55.'.replace('−0.55', `−${(Math.E - Math.exp(0.2)).toFixed(2)}`),
    )
    expect(answerOf(viewOf([run('A', 3, [0.2]), run('B', 3, [0.3])]))).toMatch(/A loses least.*these differences have no error/)
  })
})

test('the front is what nothing beats with as little storage', () => {
  const points = [
    { bits: 4, value: 0.1 },
    { bits: 3, value: 0.3 },
    { bits: 3.02, value: 0.4 },
    { bits: 3.5, value: 0.35 },
    { bits: 2, value: 1 },
    { bits: 4.01, value: 0.1 },
  ]
  expect(frontOf(points).map(({ bits }) => bits)).toEqual([2, 3, 4, 4.01])
})

describe('the best', () => {
  const best = (...figures: [bits: number, kl: number | null][]) => [
    ...bestAtEqualStorage(figures.map(([bitsPerWeight, value], i) => ({ run: `r-${i}`, bitsPerWeight, value }))),
  ]

  test('is found among runs that store as many bits', () => {
    expect(best([4.38, 0.1], [3.12, 0.4], [3.13, 0.28], [3.12, 0.5])).toEqual(['r-2'])
    expect(best([3.12, 0.4], [3.12, 0.5], [4.25, 0.05], [4.3, 0.07])).toEqual(['r-0', 'r-2'])
  })

  test('is nobody where there is nothing to compare with, or no difference', () => {
    expect(best([3.12, 0.4])).toEqual([])
    expect(best([3.12, 0.4], [3.12, 0.4])).toEqual([])
    expect(best([3.12, 0.4], [3.12, null])).toEqual([])
    expect(best([0, 0.4], [0, 0.5])).toEqual([])
  })

  test('may be two', () => {
    expect(best([3.12, 0.4], [3.12, 0.4], [3.12, 0.5])).toEqual(['r-0', 'r-1'])
  })

  test('includes what ties with it', () => {
    const figures = [
      { run: 'a', bitsPerWeight: 3, value: 2, windows: [1, 2, 3] },
      { run: 'b', bitsPerWeight: 3, value: 2.03, windows: [1.1, 1.9, 3.1] },
      { run: 'c', bitsPerWeight: 3, value: 3, windows: [2, 3, 4] },
    ]
    expect([...bestAtEqualStorage(figures)]).toEqual(['a', 'b'])
    expect([...bestAtEqualStorage(figures.slice(0, 2))]).toEqual([])
  })
})

test('a uniform run that beats a mixture with no more bits is named', () => {
  const mixed = (view: JobView): JobView => {
    const runs = view.job.runs.map((spec, i) => (i ? spec : { ...spec, overrides: [{ pattern: 'x', options: { bits: 4 } }] }))
    return { ...view, job: { ...view.job, runs } }
  }
  const better = viewOf([run('Mixed', 3.26, [2, 3]), run('RTN 3-bit', 3.25, [1.5, 2]), run('RTN 4-bit', 4.25, [1, 1])])
  expect(uniformAnswer(mixed(better))).toBe(
    'RTN 3-bit, with one width for all linears, is better than Mixed at no more bits, by 0.75 ± 0.25: take that one.',
  )
  expect(uniformAnswer(better)).toBeNull()
  expect(
    uniformAnswer(mixed(viewOf([run('Mixed', 3.26, [1, 1]), run('RTN 3-bit', 3.25, [1.5, 2]), run('RTN 4-bit', 4.25, [0, 0])]))),
  ).toBeNull()
})
