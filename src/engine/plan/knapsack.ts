/**
 * The multiple-choice knapsack: one choice for each item, with the least sum of values whose costs stay within a budget. Exact by dynamic
 * programming over the choices that nothing dominates; what cannot become the best is left out by a bound of Lagrange: with any λ ≥ 0, the
 * items ahead cost at least min (value + λ · cost) each, less λ times what is left of the budget. λ is that of the best relaxation.
 */
export interface Choice {
  /** A whole number. */
  cost: number
  value: number
}

export interface Packed {
  /** By item, the number of its choice. */
  chosen: number[]
  cost: number
  value: number
  /** No selection within the budget has a smaller value than this: the value itself, unless there were too many to look at. */
  bound: number
}

/** Selections that are looked at side by side, at most; beyond, only the most promising go on. */
const MOST = 50_000

/** The choices of an item that no cheaper one equals, the cheapest first, with their numbers. */
export function undominated(choices: readonly Choice[]): (Choice & { index: number })[] {
  const sorted = choices
    .map((choice, index) => ({ ...choice, index }))
    .sort((a, b) => a.cost - b.cost || a.value - b.value || a.index - b.index)
  const found: typeof sorted = []
  for (const one of sorted) if (!found.length || one.value < found.at(-1)!.value) found.push(one)
  return found
}

/** Null where even the cheapest choices exceed the budget. `items`: at least one choice each. */
export function pack(items: readonly (readonly Choice[])[], budget: number): Packed | null {
  const all = items.map(undominated)
  const least = all.reduce((sum, [first]) => sum + first.cost, 0)
  if (least > budget) return null
  const { chosen: greedy, slope } = ascend(all, budget - least)
  const total = (picks: number[], of: 'cost' | 'value') => picks.reduce((sum, pick, i) => sum + all[i][pick][of], 0)
  let best = total(greedy, 'value')
  // What the items from i on take at least, each by itself, with a price on cost.
  const ahead = new Float64Array(all.length + 1)
  for (let i = all.length - 1; i >= 0; i--) ahead[i] = ahead[i + 1] + Math.min(...all[i].map(({ cost, value }) => value + slope * cost))
  const floor = ahead[0] - slope * budget
  let states: State[] = [{ cost: 0, value: 0, pick: 0, before: null }]
  let cut = false
  // Sums of the same numbers in another order differ in their last digits.
  const slack = 1e-12 * Math.max(1, Math.abs(best))
  // What the items from i on cost at least.
  const cheapest = new Float64Array(all.length + 1)
  for (let i = all.length - 1; i >= 0; i--) cheapest[i] = cheapest[i + 1] + all[i][0].cost
  for (const [i, choices] of all.entries()) {
    const next: State[] = []
    for (const before of states) {
      for (const [pick, { cost, value }] of choices.entries()) {
        const [c, v] = [before.cost + cost, before.value + value]
        if (c + cheapest[i + 1] > budget) break
        if (v + ahead[i + 1] - slope * (budget - c) <= best + slack) next.push({ cost: c, value: v, pick, before })
      }
    }
    const left = frontier(next)
    const promise = ({ cost, value }: State) => value + slope * cost
    states = left.length > MOST ? left.sort((a, b) => promise(a) - promise(b)).slice(0, MOST) : left
    cut ||= left.length > MOST
  }
  const end = states.reduce<State | null>((found, one) => (!found || one.value < found.value ? one : found), null)
  const picks = end && end.value < best ? picksOf(end) : greedy
  best = total(picks, 'value')
  const chosen = picks.map((pick, i) => all[i][pick].index)
  return { chosen, cost: total(picks, 'cost'), value: best, bound: cut ? Math.min(best, floor) : best }
}

interface State {
  cost: number
  value: number
  pick: number
  before: State | null
}

function picksOf(end: State): number[] {
  const picks: number[] = []
  for (let state = end; state.before; state = state.before) picks.push(state.pick)
  return picks.reverse()
}

/** Those that cost less or are worth less than every other. */
function frontier(states: State[]): State[] {
  states.sort((a, b) => a.cost - b.cost || a.value - b.value)
  let least = Number.POSITIVE_INFINITY
  return states.filter(({ value }) => {
    if (value >= least) return false
    least = value
    return true
  })
}

/** Steps up from the cheapest choices by what they gain for their cost, while they fit; `slope`: the gain at which the budget ended. */
function ascend(all: (Choice & { index: number })[][], room: number): { chosen: number[]; slope: number } {
  const steps = all.flatMap((choices, item) => hullSteps(choices).map((step) => ({ item, ...step })))
  steps.sort((a, b) => b.gain / b.cost - a.gain / a.cost || a.item - b.item || a.to - b.to)
  const chosen = all.map(() => 0)
  let slope = 0
  for (const { item, from, to, cost, gain } of steps) {
    if (cost > room) slope = Math.max(slope, gain / cost)
    else if (chosen[item] === from) {
      chosen[item] = to
      room -= cost
    }
  }
  // What is left may still fit single steps.
  for (let found = true; found; ) {
    found = false
    for (const [item, choices] of all.entries()) {
      const next = choices.findLastIndex(({ cost }, to) => to > chosen[item] && cost - choices[chosen[item]].cost <= room)
      if (next < 0) continue
      room -= choices[next].cost - choices[chosen[item]].cost
      chosen[item] = next
      found = true
    }
  }
  return { chosen, slope }
}

/** Steps along the lower convex hull of an item's choices. */
function hullSteps(choices: Choice[]): { from: number; to: number; cost: number; gain: number }[] {
  const steps = []
  for (let from = 0; from < choices.length - 1; ) {
    const rate = (to: number) => (choices[from].value - choices[to].value) / (choices[to].cost - choices[from].cost)
    let to = from + 1
    for (let other = to + 1; other < choices.length; other++) if (rate(other) > rate(to)) to = other
    steps.push({ from, to, cost: choices[to].cost - choices[from].cost, gain: choices[from].value - choices[to].value })
    from = to
  }
  return steps
}
