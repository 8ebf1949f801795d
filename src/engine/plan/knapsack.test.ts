import { expect, test } from 'vitest'
import { type Choice, pack, undominated } from './knapsack.ts'

/** Numbers from 0 to 1 by a seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const itemsOf = (next: () => number, count: number): Choice[][] =>
  Array.from({ length: count }, () => {
    const size = 1 + Math.floor(40 * next())
    const scale = next() ** 3
    return Array.from({ length: 2 + Math.floor(4 * next()) }, (_, i) => ({
      cost: size * (2 + i) + Math.floor(3 * next()),
      // Mostly falling, with a choice now and then that costs more for less.
      value: scale * (4 ** -i + 0.3 * next() ** 8),
    }))
  })

/** Every selection. */
function brute(items: Choice[][], budget: number): number | null {
  let best: number | null = null
  const visit = (i: number, cost: number, value: number) => {
    if (cost > budget) return
    if (i === items.length) best = best === null ? value : Math.min(best, value)
    else for (const choice of items[i]) visit(i + 1, cost + choice.cost, value + choice.value)
  }
  visit(0, 0, 0)
  return best
}

test('what is packed is the best of all selections', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const next = random(seed)
    const items = itemsOf(next, 1 + Math.floor(6 * next()))
    const [least, most] = [Math.min, Math.max].map((f) => items.reduce((sum, item) => sum + f(...item.map(({ cost }) => cost)), 0))
    const budget = Math.floor(least - 3 + (most - least + 6) * next())
    const [found, best] = [pack(items, budget), brute(items, budget)]
    if (best === null) expect(found, `seed ${seed}`).toBeNull()
    else {
      // Sums of the same doubles in another order.
      expect(Math.abs(found!.value - best), `seed ${seed}`).toBeLessThan(1e-12)
      expect(found!.bound, `seed ${seed}`).toBe(found!.value)
      expect(found!.cost, `seed ${seed}`).toBeLessThanOrEqual(budget)
      expect(found!.chosen.reduce((sum, pick, i) => sum + items[i][pick].cost, 0)).toBe(found!.cost)
    }
  }
})

test('two hundred items are packed at once, and no step that gains is left out', () => {
  const items = itemsOf(random(7), 200)
  const [least, most] = [Math.min, Math.max].map((f) => items.reduce((sum, item) => sum + f(...item.map(({ cost }) => cost)), 0))
  for (const share of [0, 0.1, 0.37, 0.5, 0.9, 1]) {
    const budget = Math.floor(least + share * (most - least))
    const found = pack(items, budget)!
    expect(found.bound).toBe(found.value)
    for (const [i, item] of items.entries()) {
      const own = item[found.chosen[i]]
      for (const other of undominated(item)) if (other.value < own.value) expect(found.cost - own.cost + other.cost).toBeGreaterThan(budget)
    }
    expect(pack(items, budget)).toEqual(found)
  }
  expect(pack(items, least - 1)).toBeNull()
})
