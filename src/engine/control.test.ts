import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import { Control } from './control.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('the clock stands still from where the job stops until it goes on, whoever waits', async () => {
  const control = new Control()
  const start = control.clock
  const seconds = () => Math.round((control.clock - start) * 1000) / 1000
  vi.advanceTimersByTime(1000)
  control.pause()
  // Until the GPU has done what it was given.
  vi.advanceTimersByTime(200)
  expect(seconds()).toBe(1.2)
  const waiting = [control.check()]
  vi.advanceTimersByTime(5000)
  waiting.push(control.check())
  vi.advanceTimersByTime(3000)
  expect(seconds()).toBe(1.2)
  control.resume()
  await Promise.all(waiting)
  vi.advanceTimersByTime(500)
  expect(seconds()).toBe(1.7)
  // One that is over before anybody stood still was none.
  control.pause()
  vi.advanceTimersByTime(100)
  control.resume()
  await control.check()
  expect(seconds()).toBe(1.8)
  control.pause()
  const last = control.check()
  vi.advanceTimersByTime(1000)
  control.stop(new WorkbenchError('storage-full', 'Full.'))
  await expect(last).rejects.toThrow('Full.')
  expect(seconds()).toBe(1.8)
})
