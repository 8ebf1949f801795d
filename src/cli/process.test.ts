import { afterEach, expect, test, vi } from 'vitest'
import { Control } from '../engine/control.ts'
import { stopOnSignals } from './process.ts'

afterEach(() => vi.restoreAllMocks())

test('signals that come together stop the job once; a later one ends the program', () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(5000)
  const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never)
  const control = new Control()
  const undo = stopOnSignals(control)
  // `timeout`, Slurm and systemd signal every process of the job, and the one above passes on what it got.
  for (const signal of ['SIGTERM', 'SIGTERM'] as const) process.emit(signal)
  expect([control.cancelled, exit.mock.calls]).toEqual([true, []])
  now.mockReturnValue(6500)
  process.emit('SIGINT')
  expect(exit).toHaveBeenCalledExactlyOnceWith(130)
  undo()
})
