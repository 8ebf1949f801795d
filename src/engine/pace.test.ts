import { describe, expect, test, vi } from 'vitest'
import { Pace } from './pace.ts'

const of = (method: string, seconds: number, linears = 0) => ({ method, seconds, linears })

test('what a run took corrects the forecasts of its method, and the middle of all those of the others', () => {
  const pace = new Pace()
  expect(pace.factor(of('rtn', 2))).toBe(1)
  pace.expect('a', of('rtn', 2))
  pace.expect('b', of('gptq', 10))
  pace.expect('c', of('awq', 1))
  pace.learn('a', 30)
  expect([pace.factor(of('rtn', 2)), pace.factor(of('gptq', 2))]).toEqual([15, 15])
  pace.learn('b', 20)
  pace.learn('c', 3)
  expect(['rtn', 'gptq', 'spqr'].map((method) => pace.factor(of(method, 2)))).toEqual([15, 2, 3])
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
  expect(pace.factor(of('rtn', 2))).toBe(1)
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

test('of several factors, that of linears nearest in size counts', () => {
  const pace = new Pace()
  pace.expect('small', of('rtn', 0.1, 100))
  pace.expect('large', of('rtn', 1000, 100))
  pace.learn('small', 4)
  pace.learn('large', 1500)
  expect([0.2, 1, 500, 20_000].map((seconds) => pace.factor(of('rtn', seconds, 100)))).toEqual([40, 40, 1.5, 1.5])
})

describe('between visits', () => {
  /** Notes in memory, as JSON. */
  const memory = (kept = new Map<string, string>()) => ({ kept })
  const visit = (store: ReturnType<typeof memory>, adapter = 'a') => {
    const pace = new Pace()
    pace.on(
      adapter,
      JSON.parse(store.kept.get(adapter) ?? 'null'),
      async (learned) => void store.kept.set(adapter, JSON.stringify(learned)),
    )
    return pace
  }

  test('the first forecast of the next visit is what such a run took', async () => {
    const store = memory()
    const first = visit(store)
    const run = of('rtn', 0.12, 301)
    first.expect('run', run)
    first.begin()
    for (let linear = 0; linear < 301; linear++) first.keep(0.055)
    first.learn('run', 301 * 0.055 + 0.36)
    await vi.waitFor(() => expect(store.kept.size).toBe(1))
    const [next, elsewhere] = [visit(store), visit(store, 'b')]
    expect(next.seconds(run)).toBeCloseTo(301 * 0.055 + 0.36, 6)
    // Another adapter is another matter.
    expect(elsewhere.seconds(run)).toBeLessThan(2)
  })

  test('a forecast does not follow the measurement of each visit once a run has been timed', async () => {
    const store = memory()
    const first = visit(store)
    const probed = { gflops: 2, transferRate: 5e9, dispatchSeconds: 1e-4, tick: 1e-3 }
    const busy = { gflops: 0.1, transferRate: 5e9, dispatchSeconds: 2e-3, tick: 2e-2 }
    expect(first.counted(busy)).toEqual(busy)
    expect(first.counted(probed)).toEqual(probed)
    const run = of('rtn', 10, 10)
    first.expect('run', run)
    first.learn('run', 30)
    expect(first.counted(busy)).toEqual(probed)
    await vi.waitFor(() => expect(store.kept.size).toBe(1))
    const next = visit(store)
    expect(next.counted(busy)).toEqual(probed)
    expect(next.seconds(run)).toBeCloseTo(30.04, 6)
    const elsewhere = visit(store, 'b')
    expect(elsewhere.counted(busy)).toEqual(busy)
  })

  test.each([
    ['null', 'null'],
    ['no object', '[1]'],
    ['other fields', '{"rates":{},"kept":[]}'],
    ['damaged values', '{"rates":[{"method":"rtn","size":0,"factor":-1},{"method":3},null],"kept":{"linears":-5,"seconds":"x"}}'],
  ])('what was kept as %s is not believed', async (_, text) => {
    const pace = visit(memory(new Map([['a', text]])))
    expect(pace.seconds(of('rtn', 2, 10))).toBeCloseTo(2.04, 6)
  })

  test('a place that fails harms nothing', async () => {
    const pace = new Pace()
    pace.on('a', null, () => Promise.reject(new Error('no')))
    pace.expect('run', of('rtn', 1))
    pace.learn('run', 2)
    await new Promise((resolve) => setTimeout(resolve))
    expect(pace.factor(of('rtn', 1))).toBe(2)
  })
})
