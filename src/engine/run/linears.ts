/** The linears of one run: solved, or taken from the journal, and handed to the checkpoint as they will be stored. */
import { add, inFloats, roundTo, scale, subtract, transpose } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights, LinearShape } from '../../models/family.ts'
import { blockName } from '../../models/open.ts'
import { collect, restore, scaleNotes, type SolvedLinear } from '../../quant/linear.ts'
import { nearest, objective } from '../../quant/rounding.ts'
import { solveLinear } from '../../quant/slices.ts'
import type { Chosen } from '../../quant/choice.ts'
import type { Grid } from '../../quant/grids/grid.ts'
import { gridKind } from '../../quant/grids/index.ts'
import type { Options } from '../../options.ts'
import type { Derived, LinearProblem, QuantizedLinear, SolverHooks } from '../../quant/solver.ts'
import { aimed, outputLosses } from '../../quant/target.ts'
import type { RunEvent } from '../job/events.ts'
import type { LayerResult, ObjectiveCurve } from '../job/result.ts'
import type { KeptLinear } from '../keep/solved.ts'
import { linearBits, reordered } from '../plan/plan.ts'
import type { ForwardPass } from '../passes/forward.ts'
import type { Settle } from '../passes/settling.ts'
import { type Fold, foldedWeight } from '../passes/transform.ts'
import type { Run } from './single.ts'
import type { StageSums } from '../passes/sums.ts'

type ObjectivePoint = Extract<RunEvent, { type: 'objective' }>['points'][number]

/** A linear of block k, and what its stage knows of it. */
export interface LinearTask {
  k: number
  linear: LinearShape
  shared: {
    sums: StageSums
    gramDiagonal: Float32Array
    derived: Derived
    aim: Chosen | null
    /** The largest absolute weight of the stage, where a grid asks for it (`Grid.spans`). */
    span: number | null
  }
  /** For its result: why its inputs were not scaled. */
  note: string | null
  /** No other linear of its stage follows. */
  last: boolean
  /** What a transform makes of its weight. */
  fold?: Fold
}

/** What was asked for of a solved linear while its tensors were there. */
interface Asked {
  full: string
  result: QuantizedLinear
  stored: Reading<SolvedLinear>
  /** ‖WX‖², and what part of it a value is. */
  base: Reading<number>
  relative: Reading<(value: number) => number>
  /** What the stored weights lose. */
  lost: Reading<number>
  /** The same as a part of ‖WX‖², on the held-out tokens; undefined where there are none. */
  heldOut: Reading<HeldOut | undefined>
  /** What came up before it was solved. */
  trouble: string[]
  /** Ŵ + H, where the checkpoint holds it. */
  rows: Reading<Float32Array<ArrayBuffer>> | null
  curve: Map<number, ObjectivePoint>
  /** Seconds until all was asked for. */
  seconds: number
}

/** Relative errors on the held-out tokens, by what the method minimizes: of what was solved, and of rounding to its grid. */
interface HeldOut {
  /** ‖(W−Ŵ)X‖² / ‖WX‖², whatever was minimized. */
  error: number
  solved: number
  rounded: number
}

/** What solving needs of a run. */
export type SolvingRun = Pick<Run, 'plan' | 'id' | 'seconds' | 'tell' | 'tellEnd'> & {
  output: Pick<Run['output'], 'storesWeights' | 'linear' | 'vectors'>
}

export class Linears {
  constructor(
    readonly run: SolvingRun,
    readonly pass: ForwardPass,
  ) {}

  /**
   * Solves a linear and puts Ŵ + H in its place among `weights`; the returned function waits for what has to come back from
   * the GPU, tells and keeps it.
   */
  async solve(task: LinearTask, weights: BlockWeights): Promise<Settle> {
    const { run, pass } = this
    const { gpu, host } = pass
    const { solver } = run.plan
    const { k, linear, shared, last, fold } = task
    const { options: planned, grid } = run.plan.linears[k].get(linear.name)!
    const { span } = shared
    const options = span === null ? planned : { ...planned, span }
    const full = blockName(pass.opened, k, linear.name)
    const started = host.control.clock
    pass.stage(run.plan, 'solve', k, full)
    pass.progress.enter(solver.id)
    const held = weights.get(`${linear.name}.weight`)!
    const wide = this.#wide(held, fold)
    const { sums, gramDiagonal, derived } = shared
    await sums.shelve('gram')
    await sums.fetch('gram')
    const { gram } = sums.seen
    const base = this.#lost(wide, null, gram, fold?.outputs)
    const relative = base.map((whole) => (value: number) => (whole > 0 ? value / whole : 0))
    const curve = new Map<number, ObjectivePoint>()
    const problem: LinearProblem = { gpu, weight: wide, gram, gramDiagonal, derived, halfScales: true, last, scoring: linear.scoring }
    const hooks = {
      report: (points: ObjectivePoint[]) => this.#report({ linear: full, weights: linear.q * linear.p }, points, relative, curve),
    }
    const { result, trouble, weight, asItIs } = await this.#solved(problem, task, held, options, hooks)
    if (last) derived.dispose()
    const { outliers = null, what } = result
    const stored = collect(gpu, result, grid)
    result.codes.dispose()
    if (outliers) add(gpu, what, outliers.h)
    const rounds = this.round(what)
    const lost = !asItIs || fold?.outputs || rounds ? this.#lost(weight, what, gram, fold?.outputs) : result.error
    if (last && sums.heldOut) sums.drop()
    const { reading: heldOut } = await this.#heldOut(weight, result, grid, sums, fold?.outputs)
    const rows = run.output.storesWeights ? this.#rows(what) : null
    weights.set(`${linear.name}.weight`, what)
    for (const tensor of [result.grid, outliers?.h, weight === held ? null : weight]) tensor?.dispose()
    const seconds = host.control.clock - started
    return () => this.#settle(task, { full, result, stored, base, relative, lost, heldOut, trouble, rows, curve, seconds })
  }

  /**
   * A linear solved for W or, where that is asked for, a target in its place: then W, which is `held` as stored, is not there in f32
   * meanwhile. `weight`: W; `asItIs`: nothing stood in front of the solver.
   */
  async #solved(problem: LinearProblem, { shared: { sums, aim }, fold }: LinearTask, held: Tensor, options: Options, hooks: SolverHooks) {
    const { plan } = this.run
    const own = aim && (await aimed(problem, sums.seen, aim, plan.aim!.damps, sums))
    const away = own && own.problem.weight !== problem.weight && problem.weight !== held
    if (away) problem.weight.dispose()
    const result = await solveLinear(plan.solver, own?.problem ?? problem, options, hooks)
    own?.dispose()
    const weight = away ? this.#wide(held, fold) : problem.weight
    return { result, trouble: own?.trouble ?? [], weight, asItIs: !own }
  }

  /** W in f32: `held` itself where it is. */
  #wide(held: Tensor, fold?: Fold): Tensor {
    const { gpu } = this.pass
    return fold ? foldedWeight(gpu, held, fold) : inFloats(gpu, held)
  }

  /** How far a result, Ŵ + H in its `what`, and rounding to its grid are off on tokens that the method has not seen. */
  async #heldOut(
    weight: Tensor,
    result: QuantizedLinear,
    grid: Grid,
    sums: StageSums,
    outputs?: Tensor,
  ): Promise<{ reading: Reading<HeldOut | undefined> }> {
    const { gpu } = this.pass
    const { heldOut } = sums
    if (!heldOut) return { reading: Reading.of(undefined) }
    const { what } = result
    await sums.shelve('heldOut.gram')
    await sums.fetch('heldOut.gram')
    const whole = this.#lost(weight, null, heldOut.gram, outputs)
    const error = this.#lost(weight, what, heldOut.gram, outputs)
    // A linear in slices is left out: its rounding does not fit one binding.
    const rounded = weight.bytes <= gpu.info.maxBinding ? nearest(gpu, weight, result, grid) : null
    const judged = heldOut.cross
      ? await outputLosses(gpu, weight, rounded ? [what, rounded] : [what], heldOut, sums)
      : [error, this.#lost(weight, rounded, heldOut.gram, outputs)]
    rounded?.dispose()
    const reading = Reading.all([whole, error, judged[0], judged.at(1) ?? whole]).map(([all, ...parts]) => {
      const [error, solved, rounded] = parts.map((part) => (all > 0 ? part / all : 0))
      return { error, solved, rounded }
    })
    return { reading }
  }

  /** Tells how the objective falls, and gathers it for the result. */
  async #report(
    { linear, weights }: { linear: string; weights: number },
    points: ObjectivePoint[],
    relative: Reading<(value: number) => number>,
    curve: Map<number, ObjectivePoint>,
  ): Promise<void> {
    const { host } = this.pass
    const share = await relative
    const shown = points.map(({ changed, ...point }) => ({
      ...point,
      value: share(point.value),
      ...(changed !== undefined && { changed: changed / weights }),
    }))
    if (host.control.stopped) return
    for (const point of shown) curve.set(point.iteration, point)
    const iterations = this.run.plan.solver.sweeps?.(this.run.plan.options) ?? 0
    host.emit({ type: 'objective', run: this.run.id, linear, points: shown, iterations })
  }

  async #settle({ k, linear: { name, q, p }, note, shared: { aim } }: LinearTask, asked: Asked): Promise<void> {
    const { run, pass } = this
    const { host } = pass
    const { full, result, base, curve } = asked
    const { solver } = run.plan
    const planned = run.plan.linears[k].get(name)!
    const { options, grid, own } = planned
    // One wait for all that is known of this linear; the report of its objective ends before.
    const waiting = host.control.clock
    const { outliers = null } = result
    const counted = Reading.of(0).map(() => outliers?.count ?? 0)
    const readings = [asked.stored, asked.relative, result.error, asked.lost, counted, asked.heldOut] as const
    const [stored, share, , error, count, heldOut] = await Reading.all(readings)
    if (!Number.isFinite(await base)) throw await pass.overflow(pass.calibration, k, `the sum of squares that ${full} puts out`, k + 1)
    const { beyond, below } = scaleNotes(stored)
    if (beyond) {
      const told = { code: 'note', message: `${full}: ${beyond}`, hint: 'More bits make smaller scales.' } as const
      host.emit({ type: 'notice', run: run.id, problem: { severity: 'warning', ...told } })
    }
    const kept = outliers && count ? { count, kind: outliers.kind } : null
    const layer: LayerResult = {
      name: full,
      block: k,
      shape: [q, p],
      relativeError: share(error),
      ...(heldOut && { heldOutError: heldOut.error }),
      seconds: asked.seconds + host.control.clock - waiting,
      iterations: result.iterations,
      products: solver.products?.(options) ?? 0,
      ...(aim && { aim }),
      bits: linearBits({ q, p }, grid, !reordered(planned), kept),
      ...(own && { own }),
      ...(planned.replaced && { type: gridKind(String(options.kind)).label }),
      ...(curve.size && { objective: curveOf([...curve.values()]) }),
      notes: [...asked.trouble, ...result.notes, note, beyond, below, heldOut ? overfit(heldOut) : null].filter((one) => one !== null),
    }
    const began = host.control.clock
    await pass.journal.keepLinear(layer, stored, run.seconds)
    await this.#write(full, stored, asked.rows)
    host.session.pace.keep(host.control.clock - began)
    run.tell(layer)
  }

  /** Tells and writes what was solved in earlier times. */
  async recall(known: KeptLinear): Promise<void> {
    this.run.tell(known.layer)
    await this.#write(known.layer.name, known.stored)
  }

  /** A linear from the journal as the run used it. */
  restore(stored: SolvedLinear): Tensor {
    const what = restore(this.pass.gpu, stored)
    this.round(what)
    return what
  }

  /** tr(D Σ Dᵀ), D = W or W − Ŵ, with outputs as they were before a transform divided them by `outputs`. */
  #lost(weight: Tensor, what: Tensor | null, gram: Tensor, outputs?: Tensor): Reading<number> {
    const { gpu } = this.pass
    if (!what && !outputs) return objective(gpu, weight, gram)
    const d = gpu.empty(weight.shape)
    gpu.copy(weight, d)
    if (what) subtract(gpu, d, what)
    if (outputs) scale(gpu, d, { cols: outputs })
    const value = objective(gpu, d, gram)
    d.dispose()
    return value
  }

  /** Ŵ + H as the checkpoint will hold it, where that rounds weights; whether it does. */
  round(what: Tensor): boolean {
    const { measured, output } = this.run.plan
    const dtype = measured.rounds(output.settings)
    if (dtype) roundTo(this.pass.gpu, dtype, what)
    return dtype !== null
  }

  /** A weight `[p, q]` as checkpoints have it, `[q, p]`, on the host. */
  #rows(weight: Tensor): Reading<Float32Array<ArrayBuffer>> {
    const rows = transpose(this.pass.gpu, weight)
    const values = this.pass.gpu.read(rows) as Reading<Float32Array<ArrayBuffer>>
    rows.dispose()
    return values
  }

  /** Into the checkpoint; `rows`: Ŵ + H where it was read already. */
  async #write(name: string, stored: SolvedLinear, rows: Reading<Float32Array<ArrayBuffer>> | null = null): Promise<void> {
    await this.run.output.linear(name, stored, () => {
      if (rows) return rows
      const what = this.restore(stored)
      const read = this.#rows(what)
      what.dispose()
      return read
    })
  }
}

/** A note where the method fits the calibration tokens so closely that others are served worse than by rounding; by more than chance. */
function overfit({ solved, rounded }: HeldOut): string | null {
  if (solved <= 1.02 * rounded) return null
  const [method, nearest] = [solved, rounded].map((error) => error.toPrecision(3))
  return `Rounding to the same grid would do better here: on the held-out tokens it has an error of ${nearest}, this result ${method}. More calibration tokens or more damping help.`
}

/** Six digits are more than a chart shows, and keep the journal small. */
export function curveOf(points: ObjectivePoint[]): ObjectiveCurve {
  const sorted = points.sort((a, b) => a.iteration - b.iteration)
  const shares = sorted.map(({ changed }) => (changed === undefined ? null : Number(changed.toPrecision(4))))
  return {
    ...(shares.some((share) => share !== null) && { changed: shares }),
    iterations: sorted.map(({ iteration }) => iteration),
    values: sorted.map(({ value }) => Number(value.toPrecision(6))),
    relaxed: sorted.filter(({ relaxed }) => relaxed).map(({ iteration }) => iteration),
  }
}
