import { expect, test } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import { refusal } from '../io/testing.ts'
import { each } from './run.ts'

const error = (code: 'journal-busy' | 'text-short' | 'gpu-lost') => new WorkbenchError(code, `${code}.`, 'Wait.')

/** Runs jobs 0 to 3, whose attempts end as they say, and tells which were tried. */
async function tried(ends: Record<number, (WorkbenchError | null)[]>) {
  const order: number[] = []
  const run = async (job: number) => {
    order.push(job)
    const end = ends[job]?.shift()
    if (end) throw end
  }
  return { order, end: () => each([0, 1, 2, 3], run) }
}

test('jobs of other workers come once again at the end, when those may have died', async () => {
  const dead = await tried({ 1: [error('journal-busy'), null] })
  await dead.end()
  expect(dead.order).toEqual([0, 1, 2, 3, 1])
  const alive = await tried({ 0: [error('journal-busy'), error('journal-busy')], 2: [error('text-short')] })
  expect((await refusal(alive.end)).code).toBe('text-short')
  expect(alive.order).toEqual([0, 1, 2, 3, 0])
  const lost = await tried({ 1: [error('gpu-lost')] })
  expect((await refusal(lost.end)).code).toBe('gpu-lost')
  expect(lost.order).toEqual([0, 1])
})
