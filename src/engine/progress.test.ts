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

it('leaves pauses out of the rate and of the time', () => {
  let now = 0
  let flops = 0
  const progress = new Progress(
    new Map([['forward', 100]]),
    () => flops,
    () => now,
  )
  progress.enter('forward')
  flops = 50
  now = 10
  expect(progress.read().eta).toBeCloseTo(10)
  now = 1010
  progress.skip(1000)
  expect(progress.read()).toMatchObject({ elapsed: 10, eta: 10 })
})
