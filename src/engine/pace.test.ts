import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

const of = (method: string, seconds: number, linears = 0) => ({ method, seconds, linears })

test('what a run took corrects the forecasts of its method, and the middle of all those of the others', () => {
  const pace = new Pace()
  expect(pace.factor('rtn')).toBe(1)
  pace.expect('a', of('rtn', 2))
  pace.expect('b', of('gptq', 10))
  pace.expect('c', of('awq', 1))
  pace.learn('a', 30)
  expect([pace.factor('rtn'), pace.factor('gptq')]).toEqual([15, 15])
  pace.learn('b', 20)
  pace.learn('c', 3)
  expect([pace.factor('rtn'), pace.factor('gptq'), pace.factor('spqr')]).toEqual([15, 2, 3])
  expect(pace.expected('b')).toBe(20)
  expect(pace.expected('d')).toBeNull()
})

test('what was not foreseen, or took no time, teaches nothing', () => {
  const pace = new Pace()
  pace.learn('a', 5)
  pace.expect('b', of('rtn', 0))
  pace.learn('b', 5)
  pace.expect('c', of('rtn', 5))
  pace.learn('c', 0)
  pace.learn('c', 5, 0)
  expect(pace.factor('rtn')).toBe(1)
})

test('after a minute on a loaded machine, times are within a factor of two, for small linears and for other methods', () => {
  const pace = new Pace()
  // Keeping a small linear takes 55 ms, what a forecast counts takes three times as long as foreseen.
  const [keeping, slower, linears] = [0.055, 3, 301]
  const runs = [of('rtn', 0.12, linears), of('quantease', 40, linears)]
  const actual = runs.map(({ seconds }) => seconds * slower + linears * keeping)
  for (const [i, run] of runs.entries()) pace.expect(`run-${i}`, run)
  // The forecast of RTN alone was a hundredth of what it takes.
  expect(actual[0] / runs[0].seconds).toBeGreaterThan(100)
  pace.begin()
  // Blocks of seven linears, for less than a minute.
  let seconds = 0
  for (let block = 1; block <= 20; block++) {
    for (let linear = 0; linear < 7; linear++) pace.keep(keeping)
    seconds += 7 * keeping + (runs[0].seconds * slower) / 43
    pace.learn('run-0', seconds, block / 43)
  }
  expect(seconds).toBeLessThan(60)
  for (const [i, time] of actual.entries()) {
    expect(pace.expected(`run-${i}`)! / time).toBeGreaterThan(0.5)
    expect(pace.expected(`run-${i}`)! / time).toBeLessThan(2)
  }
})
