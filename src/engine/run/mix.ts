/**
 * A mixture of widths within a budget: the errors of a probe as values, the sizes of a plan as costs, the best choice by a knapsack. Linears
 * that runtimes compute as one, or that a method scales together, get the same.
 */
import { WorkbenchError } from '../../errors.ts'
import { memoryStore } from '../../io/memory.ts'
import { linearsOf } from '../../models/family.ts'
import { type OpenModel, blockName } from '../../models/open.ts'
import { usePanel } from '../../quant/descent.ts'
import type { Host } from '../host.ts'
import type { Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import type { Job, RunSpec } from '../job/job.ts'
import type { Budget, Mix, MixPart, MixWidths } from '../job/mix.ts'
import { type BitsBreakdown, type EndUse, bitsPerWeight } from '../job/result.ts'
import { type Choice, pack } from '../plan/knapsack.ts'
import { withOwn } from '../plan/own.ts'
import { checkpointBytes, endBits, keptLinears, linearBits, type PlannedRun, plannedBits, planRun, reordered } from '../plan/plan.ts'
import { FULL } from '../run-options.ts'
import { probeWork } from '../plan/work.ts'
import type { Session } from '../session.ts'
import { prepare } from './prepare.ts'
import { type Probed, ProbeLoop, type ProbedStage } from './probe.ts'
import { FORWARD, Pulse } from '../passes/pulse.ts'
import { Recovery } from './recovery.ts'

/** Blocks in one pattern, so that it stays short. */
const BLOCKS = 40
/** How often a file that came out larger than its linears alone may be tried with less. */
const TRIES = 8
/** A uniform run so much smaller than the budget still fills it. */
const NEAR = 0.01

/** One width that linears may have. */
interface Width {
  options: Options
  /** All linears at this width. */
  run: PlannedRun
  size: number
}

/** Linears that get the same. */
interface Unit {
  k: number
  linears: string[]
  errors: number[]
  price: number
}

/** What a probe found for the first run of a job: budgets are filled from it without another one. */
export class Mixer {
  readonly #units: Unit[]
  readonly #foretold: (price: number) => number

  private constructor(
    readonly spec: RunSpec,
    readonly planned: PlannedRun,
    readonly opened: OpenModel,
    probed: Probed,
  ) {
    this.#units = unitsOf(probed.stages, planned.solver.transform !== undefined)
    this.#foretold = curveOf(probed)
  }

  /**
   * `budget`: near which the prices of errors are found.
   * @throws {WorkbenchError} `option-invalid` for a budget that no mixture meets; `plan-invalid` and what else stands against the plan
   */
  static async probe(job: Job, budget: Budget, given: Host): Promise<Mixer> {
    const host = { ...given, journal: memoryStore() }
    const [spec] = job.runs
    // Before texts are read and the model is measured.
    const sizes = await scalesOf(job, host.session)
    judge(budget, sizes(budget).widths(), host.session.model)
    const prepared = await prepare({ ...job, runs: [spec], save: false, lambada: undefined }, host, false)
    const { plan, opened, journal, calibration } = prepared
    const [planned] = plan.runs
    const widths = new Scales(spec, planned, opened, budget).widths()
    const runs = widths.map(({ run }) => run)
    const { forward, solve } = probeWork(planned, opened, runs, calibration)
    const pulse = new Pulse(
      host,
      new Map([
        [FORWARD, forward],
        [planned.solver.id, solve],
      ]),
    )
    const devices = new Recovery(host, (gpu, halvings) => {
      pulse.attach(gpu)
      gpu.gemm = journal.head.gemmKernel
      usePanel(gpu, journal.head.sweepPanel)
      return new ProbeLoop(gpu, opened, plan, host, journal, pulse.progress, halvings)
    })
    const off = ({ size }: Width) => Math.abs(size - askedOf(budget))
    const rounding = widths.reduce((near, one) => (off(one) < off(near) ? one : near)).run.options
    try {
      return new Mixer(spec, planned, opened, await devices.do((loop) => loop.probe(planned, runs, rounding)))
    } finally {
      devices.drop()
      await journal.close()
    }
  }

  /** The best mixture. @throws {WorkbenchError} `option-invalid` for a budget that none meets */
  fill(budget: Budget): Mix {
    const scales = new Scales(this.spec, this.planned, this.opened, budget)
    const widths = scales.widths()
    judge(budget, widths, this.opened)
    return scales.fill(this.#units, widths, this.#foretold)
  }
}

/** Chooses overrides for the first run of a job, which has none of its own. @throws {WorkbenchError} as `Mixer.probe` */
export const chooseMix = async (job: Job, budget: Budget, host: Host): Promise<Mix> => (await Mixer.probe(job, budget, host)).fill(budget)

/** The widths that all linears of a run may have together, the smallest first, without a probe. @throws {WorkbenchError} `option-invalid` */
export async function widthsOf(job: Job, session: Session): Promise<MixWidths> {
  const sizesFor = await scalesOf(job, session)
  const sizes = (budget: Budget) =>
    sizesFor(budget)
      .widths()
      .map(({ options, size }) => ({ options, size }))
  return { bitsPerWeight: sizes({ bitsPerWeight: 1 }), bytes: sizes({ bytes: 1 }) }
}

/** The sizes of a job's first run, without its overrides and before any text is read. @throws {WorkbenchError} `option-invalid` */
async function scalesOf(job: Job, session: Session): Promise<(budget: Budget) => Scales> {
  const [spec] = job.runs
  const { model: opened } = session
  const { info } = await session.gpu()
  const planned = planRun(
    { ...spec, overrides: [] },
    opened,
    info.maxBinding,
    false,
    spec.formats ?? job.formats ?? [],
    (_, message, hint = '') => {
      throw new WorkbenchError('option-invalid', message, hint)
    },
  )!
  return (budget) => new Scales(spec, planned, opened, budget)
}

const askedOf = (budget: Budget) => budget.bytes ?? budget.bitsPerWeight!

/** At most: of few tokens the exponent is rough, and it is raised to far from where it was found. */
const MOST_GROWTH = 2

/** The divergence that errors of a certain price foretell: around what was rounded it grows as a power of them. */
function curveOf({ kl, spent, growth }: Probed): (price: number) => number {
  const exponent = Math.min(MOST_GROWTH, Math.max(1, growth))
  return (price) => (kl > 0 && spent > 0 ? kl * (price / spent) ** exponent : price)
}

/** Names that runtimes compute as one, by the first of them. */
const together: Record<string, string> = { k_proj: 'q_proj', v_proj: 'q_proj', up_proj: 'gate_proj' }

function unitsOf(stages: ProbedStage[], scaled: boolean): Unit[] {
  return stages.flatMap(({ k, linears, errors, price }) => {
    const units = new Map<string, Unit>()
    for (const [i, name] of linears.entries()) {
      const [, parent = '', own] = /^(.*\.)?([^.]*)$/.exec(name)!
      const key = scaled ? '' : parent + (together[own] ?? own)
      const unit = units.get(key) ?? { k, linears: [], errors: errors[i].map(() => 0), price }
      unit.linears.push(name)
      unit.errors = unit.errors.map((sum, grid) => sum + errors[i][grid])
      units.set(key, unit)
    }
    return [...units.values()]
  })
}

/** A size as it was typed. */
const inWordsOf = ({ bytes }: Budget, size: number) =>
  bytes === undefined ? `${Number(size.toPrecision(12))} bits per weight` : `${Number((size / 2 ** 20).toPrecision(12))} MiB`

/** @throws {WorkbenchError} option-invalid */
function judge(budget: Budget, widths: Width[], opened: OpenModel): void {
  const asked = askedOf(budget)
  const least = Math.min(...widths.map(({ size }) => size))
  if (asked >= least) return
  // What is told has to work when it is asked for.
  const unit = budget.bytes === undefined ? 1 : 2 ** 20
  const enough = (Math.ceil((least / unit) * 100) / 100) * unit
  throw new WorkbenchError(
    'option-invalid',
    `${inWordsOf(budget, asked)} is less than the smallest mixture of ${opened.folder.name} takes with these options.`,
    `Ask for ${inWordsOf(budget, enough)} or more.`,
  )
}

class Scales {
  constructor(
    readonly spec: RunSpec,
    readonly planned: PlannedRun,
    readonly opened: OpenModel,
    readonly budget: Budget,
  ) {}

  /** The widths that the method, and the format if sizes are of files, take. The smallest first. */
  widths(): Width[] {
    const { options } = this.planned
    const specs = this.planned.solver.options
    const kinds = specs.find(({ key }) => key === 'kind')
    // Types that fix their bits have a width each.
    const isWidth = ({ fixes }: { fixes?: Options }) => fixes?.bits !== undefined
    const typed = kinds?.type === 'choice' && kinds.choices.some((choice) => choice.value === options.kind && isWidth(choice))
    const varied = typed ? kinds : specs.find(({ key }) => key === 'bits')
    if (varied?.type !== 'choice') throw new Error(`${this.planned.solver.id} has no widths`)
    const values = varied.choices.filter((choice) => !typed || isWidth(choice)).map(({ value }) => ({ [varied.key]: value }))
    const found = values.flatMap((own) => {
      const run = this.#plan([{ pattern: '*', options: own }])
      const { options } = withOwn(this.spec, this.planned.solver, own)
      return run ? [{ options: own, run: { ...run, options }, size: this.#size(run) }] : []
    })
    return found.sort((a, b) => a.size - b.size)
  }

  /** The plan with these overrides; null where the method or the formats do not take them. */
  #plan(overrides: Override[]): PlannedRun | null {
    const { maxBinding, formats } = this.planned
    const spec = { ...this.spec, overrides }
    let sound = true
    const ids = formats.map(({ id }) => id)
    const run = planRun(spec, this.opened, maxBinding, false, ids, () => {
      sound = false
    })
    return sound && run && formats.every((format) => !format.accepts(run.output)) ? run : null
  }

  /** What the budget is about: bits per weight, or bytes of the checkpoint. */
  #size(run: PlannedRun): number {
    return this.budget.bytes === undefined
      ? bitsPerWeight(plannedBits(run, this.opened))
      : checkpointBytes(run, run.formats[0], this.opened)
  }

  /** `foretold`: the divergence that comes of a sum of prices. */
  fill(units: Unit[], widths: Width[], foretold: (price: number) => number): Mix {
    const { budget, opened, planned } = this
    const cost = budget.bytes === undefined ? this.#bitCosts(widths) : this.#byteCosts(widths)
    const items = units.map(({ k, linears, errors, price }): Choice[] =>
      widths.map((_, w) => ({ cost: linears.reduce((sum, name) => sum + cost(k, name, w), 0), value: price * errors[w] })),
    )
    const weights = plannedBits(planned, opened).reduce((sum, { shape: [q, p] }) => sum + q * p, 0)
    // Embedding and head are what they are, and so are blocks that are not quantized.
    const fixed: { bits: BitsBreakdown }[] = [...planned.ends.map(endBits), ...keptLinears(planned.linears, opened)]
    const taken = fixed.reduce((sum, { bits }) => sum + Object.values(bits).reduce((all, part) => all + part, 0), 0)
    let room =
      budget.bytes === undefined
        ? Math.floor(budget.bitsPerWeight! * weights + 1e-6) - taken
        : Math.floor(budget.bytes) - this.#size(planned)
    for (let tries = 0; ; tries++) {
      const packed = pack(items, room)
      const overrides = packed ? this.#overrides(units, widths, packed.chosen) : []
      const run = packed && this.#plan(overrides)
      if (!packed || !run || tries === TRIES)
        throw new WorkbenchError(
          'option-invalid',
          'No mixture of widths that the format takes meets this budget.',
          'Ask for a little more, or choose another format.',
        )
      const size = this.#size(run)
      const over = budget.bytes === undefined ? 0 : size - budget.bytes
      // Lists of names in the head of a file take some bytes, too.
      if (over <= 0) {
        const [predicted, bound] = [packed.value, packed.bound].map(foretold)
        const foreseen = widths.map(({ options }, w) => ({
          options,
          kl: foretold(units.reduce((sum, one) => sum + one.price * one.errors[w], 0)),
        }))
        return { ...this.#mix(units, widths, packed.chosen), overrides, size, predicted, bound, foreseen }
      }
      room -= over
    }
  }

  #mix(units: Unit[], widths: Width[], chosen: number[]): Pick<Mix, 'parts' | 'uniform' | 'budget' | 'ends' | 'largest'> {
    const { budget, opened, planned } = this
    const asked = askedOf(budget)
    const below = widths.filter(({ size }) => size <= asked).slice(-1)
    const near = below.length > 0 && below[0].size >= asked * (1 - NEAR)
    const above = near ? [] : widths.filter(({ size }) => size > asked).slice(0, 1)
    const parts = units.map(({ k, linears, errors, price }, i): MixPart => {
      const { options } = widths[chosen[i]]
      const errorOf = widths.map((width, w) => ({ options: width.options, error: errors[w] / linears.length }))
      return { linears: linears.map((name) => blockName(opened, k, name)), options, errors: errorOf, price }
    })
    // Those of the run, whatever type the uniform runs have.
    const kindOf = (use: EndUse) => planned.ends.find((end) => end.use === use || end.use === 'both')?.options.kind ?? FULL
    const ends: Options = planned.ends.length ? { embeddingType: kindOf('embedding'), headType: kindOf('head') } : {}
    const largest = widths.every(({ size }) => size < asked)
    return { budget, largest, parts, uniform: [...below, ...above].map(({ options, size }) => ({ options, size })), ends }
  }

  #bitCosts(widths: Width[]) {
    const { opened, planned } = this
    return (k: number, name: string, w: number) => {
      const one = widths[w].run.linears[k].get(name)!
      const { q, p } = linearsOf(opened.model.layouts[k]).find((linear) => linear.name === name)!
      const bits = linearBits({ q, p }, one.grid, !reordered(one), planned.solver.outliers?.(q, p, one.options) ?? null)
      return Object.values(bits).reduce((sum, part) => sum + part, 0)
    }
  }

  /** What a linear of some shape adds to the file at each width, against the run without overrides. */
  #byteCosts(widths: Width[]) {
    const { opened, planned } = this
    const known = new Map<string, number>()
    const before = this.#size(planned)
    return (k: number, name: string, w: number) => {
      const { q, p } = linearsOf(opened.model.layouts[k]).find((linear) => linear.name === name)!
      const key = [q, p, w].join()
      if (!known.has(key)) {
        const run = this.#plan([{ pattern: blockName(opened, k, name), options: widths[w].options }])
        known.set(key, run ? this.#size(run) - before : Number.POSITIVE_INFINITY)
      }
      return known.get(key)!
    }
  }

  /** Blocks whose linear of some name gets the same, in one override; none for what the run has anyway. */
  #overrides(units: Unit[], widths: Width[], chosen: number[]): Override[] {
    const { opened, planned } = this
    const same = (w: number) => Object.entries(widths[w].options).every(([key, value]) => planned.options[key] === value)
    const blocks = new Map<string, { w: number; name: string; of: number[] }>()
    for (const [i, { k, linears }] of units.entries())
      for (const name of same(chosen[i]) ? [] : linears) {
        const key = `${chosen[i]} ${name}`
        const one = blocks.get(key) ?? { w: chosen[i], name, of: [] }
        one.of.push(k)
        blocks.set(key, one)
      }
    const pathOf = (k: number) => `${opened.prefix}${opened.model.blockPath(k)}`
    const numbered = pathOf(0).endsWith('.0')
    return [...blocks.values()].flatMap(({ w, name, of }) => {
      const { options } = widths[w]
      if (!numbered || of.length === 1) return of.map((k) => ({ pattern: `${pathOf(k)}.${name}`, options }))
      const stem = pathOf(0).slice(0, -1)
      return Array.from({ length: Math.ceil(of.length / BLOCKS) }, (_, i) => ({
        pattern: `${stem}{${of.slice(i * BLOCKS, (i + 1) * BLOCKS).join(',')}}.${name}`,
        options,
      }))
    })
  }
}
