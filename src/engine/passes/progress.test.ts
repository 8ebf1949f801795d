import { expect, it } from 'vitest'
import { Progress } from './progress.ts'

it('tells the time left kind by kind, within a factor of two although the kinds run at different rates', () => {
  let now = 0
  let flops = 0
  const rates = { forward: 100, solve: 25 }
  const progress = new Progress(
    new Map(Object.entries({ forward: 4000, solve: 2000 })),
    () => flops,
    () => now,
  )
  expect(progress.read().eta).toBeNull()
  const total = 4000 / rates.forward + 2000 / rates.solve
  // Four blocks: 1000 forward, then 500 to solve.
  for (let block = 0; block < 4; block++) {
    for (const [kind, work] of [
      ['forward', 1000],
      ['solve', 500],
    ] as const) {
      progress.enter(kind)
      for (let step = 0; step < 10; step++) {
        flops += work / 10
        now += work / 10 / rates[kind]
        const { eta } = progress.read()
        if (block === 0 || total - now < 1) continue
        expect(eta! / (total - now)).toBeGreaterThan(0.5)
        expect(eta! / (total - now)).toBeLessThan(2)
      }
    }
  }
  expect(progress.read()).toMatchObject({ done: 1, eta: 0 })
})

it('tells no time left while a rate may be that of compiling', () => {
  let [now, flops] = [0, 0]
  const progress = new Progress(
    new Map([['forward', 1e6]]),
    () => flops,
    () => now,
  )
  progress.enter('forward')
  const after = (seconds: number, operations: number) => {
    ;[now, flops] = [seconds, operations]
    return progress.read().eta
  }
  expect(after(10, 100)).toBeNull()
  expect(after(12, 2e4)).toBeGreaterThan(0)
  // Of a job of days something is told all the same.
  expect(after(21, 100)).toBeGreaterThan(0)
})

it('counts what was done before, and does not take it for speed', () => {
  let now = 0
  let flops = 0
  const progress = new Progress(
    new Map([['forward', 100]]),
    () => flops,
    () => now,
  )
  progress.credit('forward', 40)
  expect(progress.work).toBe(40)
  progress.enter('forward')
  flops = 20
  now = 10
  expect(progress.read()).toMatchObject({ done: 0.6, eta: 20 })
  expect(progress.work).toBe(60)
})

it('ends at exactly 100 % however far a plan is from what is counted', () => {
  let flops = 0
  const planned = { forward: 100, solve: 50 }
  const progress = new Progress(
    new Map(Object.entries(planned)),
    () => flops,
    () => flops,
  )
  const count = (kind: string, operations: number, reached: number) => {
    progress.enter(kind)
    flops += operations
    progress.reach(kind, reached)
    return progress.read().done * 150
  }
  expect(count('forward', 70, 50)).toBeCloseTo(50, 9)
  expect(count('solve', 10, 50)).toBeCloseTo(100, 9)
  // A lost device: twice the work for the same part.
  expect(count('forward', 98, 60)).toBeCloseTo(110, 9)
  expect(count('forward', 1, 99)).toBeLessThan(150)
  count('forward', 0.3, 100)
  expect(progress.read()).toMatchObject({ done: 1, eta: 0 })
})
