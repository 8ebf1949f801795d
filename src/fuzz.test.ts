/** A fixed set of what `npm run fuzz` does at length. */
import { expect, test, vi } from 'vitest'
import { judge } from '../e2e/fuzz/judge.ts'
import { headers, wholeFiles } from '../e2e/fuzz/targets.ts'

vi.setConfig({ testTimeout: 60_000 })

test.each([
  ...headers.map((target) => [target.name, 1500, target] as const),
  ...wholeFiles.map((target) => [target.name, 60, target] as const),
])('every changed %s of %i is read or refused in words', async (name, count, target) => {
  const ends = { accepted: 0, refused: 0 }
  for (let seed = 0; seed < count; seed++) {
    const { end, why } = await judge(target, seed)
    if (end === 'failed') expect.fail(`${name}, seed ${seed}: ${why}`)
    ends[end]++
  }
  // Both ways out are taken, or the changes were too small or too large.
  expect(ends.accepted).toBeGreaterThan(0)
  expect(ends.refused).toBeGreaterThan(0)
})
