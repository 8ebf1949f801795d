/** What each linear of a run is solved with: the run's options, or what an override gives it; or that it stays in full precision. */
import { toErrorData } from '../../errors.ts'
import { claims, overrideText, ownOptions } from '../../overrides.ts'
import { linearsOf } from '../../models/family.ts'
import { type OpenModel, blockName } from '../../models/open.ts'
import type { Grid } from '../../quant/grids/grid.ts'
import { optionsFor } from '../../quant/grids/index.ts'
import type { Solver } from '../../quant/solver.ts'
import { fixedBy, type Options, resolveOptions } from '../../options.ts'
import type { RunSpec } from '../job/job.ts'
import { runOptions } from '../run-options.ts'

export interface PlannedLinear {
  /** Every option of the run, with those of an override in place of its own. */
  options: Options
  grid: Grid
  /** Only those of an override; null where none matches. */
  own: Options | null
  /** The type that was asked for, where its rows take another. */
  replaced?: string
}

/** By block, the linears that are solved, by their names inside it. */
export type PlannedLinears = readonly ReadonlyMap<string, PlannedLinear>[]

type Fail = (key: string, message: string, hint?: string) => void

export function planLinears(
  spec: RunSpec,
  solver: Solver,
  options: Options,
  opened: OpenModel,
  blocks: number,
  fail: Fail,
): PlannedLinears | null {
  const { overrides = [] } = spec
  const layouts = opened.model.layouts.slice(0, blocks)
  const places = layouts.flatMap((layout, k) => linearsOf(layout).map(({ name, p }) => ({ k, name, p, full: blockName(opened, k, name) })))
  const claimed = claimedBy(spec, places, solver, fail)
  if (!claimed) return null
  const own = overrides.map(({ options: given }) => given && { given, all: withOwn(spec, solver, given) })
  const found = Array.from({ length: blocks }, () => new Map<string, PlannedLinear>())
  for (const [i, { k, name, p }] of places.entries()) {
    const which = claimed[i]
    const override = which === null ? null : own[which]
    if (override === undefined) continue
    const asked = override?.all.options ?? options
    const all = optionsFor<Options>(asked, p)
    const replaced = all.kind === asked.kind ? {} : { replaced: String(asked.kind) }
    found[k].set(name, { options: all, grid: solver.gridOf(all), own: override?.given ?? null, ...replaced })
  }
  return judged(found, solver, opened, fail) ? found : null
}

/** The options of a run with those of an override in their place, and what is wrong with them. */
export function withOwn({ options }: RunSpec, solver: Solver, given: Options) {
  const specs = [...solver.options, ...runOptions]
  // What the run says of a grid does not hold for another kind, which decides that itself.
  const decided = given.kind === undefined ? new Map() : fixedBy(specs, given)
  const left = Object.entries(options).filter(([key]) => !decided.has(key))
  return resolveOptions(specs, { ...Object.fromEntries(left), ...given })
}

/** By place, the number of the override that it has; null where something is wrong with the overrides. */
function claimedBy(run: RunSpec, places: { full: string }[], solver: Solver, fail: Fail): (number | null)[] | null {
  const paths = places.map(({ full }) => full)
  let sound = true
  const refuse: Fail = (...what) => {
    sound = false
    fail(...what)
  }
  const { overrides = [] } = run
  const keys = ownOptions(solver.options).map(({ key }) => key)
  const matched = overrides.map((override, i) => {
    const field = `overrides.${i}`
    const strange = Object.keys(override.options ?? {}).find((key) => !keys.includes(key))
    const [wrong] = override.options ? withOwn(run, solver, override.options).problems : []
    const problem = strange ? `${solver.label} has no option ${strange} for single linears.` : wrong?.message
    if (problem) refuse(field, `Override “${overrideText(override)}”: ${problem}`)
    try {
      return claims([override], paths).filter((one) => one !== null).length
    } catch (error) {
      const { message, hint } = toErrorData(error)
      refuse(field, message, hint)
      return 0
    }
  })
  if (!sound) return null
  const claimed = claims(overrides, paths)
  overrides.forEach((override, i) => {
    if (claimed.includes(i)) return
    const text = overrideText(override)
    if (matched[i]) refuse(`overrides.${i}`, `An earlier override has every linear that “${text}” matches.`, 'Put the narrower one first.')
    else refuse(`overrides.${i}`, `The override “${text}” matches no linear that is quantized.`, `Names are like ${some(paths)}.`)
  })
  return sound ? claimed : null
}

const some = (paths: string[]) => [...new Set([paths[0], paths.at(-1)!])].join(' and ')

/** Whether these linears can be solved together. */
function judged(found: PlannedLinears, solver: Solver, opened: OpenModel, fail: Fail): boolean {
  if (found.every(({ size }) => size === 0)) {
    fail('overrides', 'The overrides keep every linear in full precision, so nothing is left to quantize.')
    return false
  }
  if (!solver.transform) return true
  const stages = found.flatMap((of, k) =>
    opened.model.layouts[k].stages.map((stage) => ({ stage, own: stage.map(({ name }) => of.get(name)) })),
  )
  const apart = stages.find(({ own }) => own.some((one) => !one || JSON.stringify(one.options) !== JSON.stringify(own[0]!.options)))
  if (!apart) return true
  const names = apart.stage.map(({ name }) => name)
  if (apart.own.includes(undefined))
    fail(
      'overrides',
      `${solver.label} scales the inputs of linears before it rounds them, so it keeps none in full precision.`,
      'Choose another method, or 8 bits.',
    )
  else fail('overrides', `${solver.label} scales ${names.join(', ')} of a block together, so they need the same override.`)
  return false
}
