import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

test('a finished run corrects the forecasts of its method, and the middle of all those of the others', () => {
  const pace = new Pace()
  expect(pace.factor('rtn')).toBe(1)
  pace.expect('a', 'rtn', 2)
  pace.expect('b', 'gptq', 10)
  pace.expect('c', 'awq', 1)
  pace.learn('a', 30)
  expect([pace.factor('rtn'), pace.factor('gptq')]).toEqual([15, 15])
  pace.learn('b', 20)
  pace.learn('c', 3)
  expect([pace.factor('rtn'), pace.factor('gptq'), pace.factor('spqr')]).toEqual([15, 2, 3])
})

test('what was not foreseen, or took no time, teaches nothing', () => {
  const pace = new Pace()
  pace.learn('a', 5)
  pace.expect('b', 'rtn', 0)
  pace.learn('b', 5)
  pace.expect('c', 'rtn', 5)
  pace.learn('c', 0)
  expect(pace.factor('rtn')).toBe(1)
})
