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

it('counts what was done before, and does not take it for speed', () => {
  let now = 0
  let flops = 0
  const progress = new Progress(
    new Map([['forward', 100]]),
    () => flops,
    () => now,
  )
  progress.credit('forward', 40)
  progress.enter('forward')
  flops = 20
  now = 10
  expect(progress.read()).toMatchObject({ done: 0.6, eta: 20 })
  expect(progress.work).toBe(60)
})
