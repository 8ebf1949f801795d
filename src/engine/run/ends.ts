/**
 * Embedding and head of a run, where it rounds them. Both are solved in slices of the vocabulary, whose entries are independent of each
 * other, so that they take no more room than the linears of a block.
 *
 * An embedding picks one of its rows, so nothing but its own weights says how a row is rounded: each to the grid with the smallest error.
 * The head is a linear with the final hidden states as inputs, solved by the run's method. A tensor that is both is solved as the head
 * before the blocks, as they already see it: with Σ of the full-precision model, plus so much on its diagonal that relative errors of
 * the table count as much as those of the logits.
 */
import type { Device } from '../../gpu/device.ts'
import { copyColumns, dot, putDiagonal, scale, subtract } from '../../gpu/ops.ts'
import { Reading } from '../../gpu/reading.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { linearsOf } from '../../models/family.ts'
import { disposePanels, loadEntries } from '../../models/weights.ts'
import type { OpenModel } from '../../models/open.ts'
import { type Chosen, chooseAim } from '../../quant/choice.ts'
import { collect, joinOutputs, scaleNotes, type SolvedLinear } from '../../quant/linear.ts'
import { objective } from '../../quant/rounding.ts'
import { rtn } from '../../quant/rtn.ts'
import { gridKind } from '../../quant/grids/index.ts'
import { Derived, disposeQuantized, type LinearProblem } from '../../quant/solver.ts'
import { aimed } from '../../quant/target.ts'
import type { EndResult } from '../job/result.ts'
import { endBits } from '../plan/plan.ts'
import type { PlannedEnd } from '../plan/ends.ts'
import type { KeptEnd } from '../keep/solved.ts'
import type { Hidden } from '../passes/hidden.ts'
import type { Linears } from './linears.ts'
import { FORWARD } from '../passes/pulse.ts'
import { tableOf } from '../passes/restore.ts'
import { StagePass, type Streams } from '../passes/stages.ts'
import { StageSums } from '../passes/sums.ts'

/** Entries of a slice at least, and what their number is a multiple of. */
const LEAST = 1024
const UNIT = 64
/** Entries that stand for all where an aim is chosen, in runs of RUN. */
const SAMPLE = 64
const RUN = 8

/** What a slice comes to: Σ over its entries of squared errors, and of what they are compared with. */
type Squares = { lost: number; whole: number }

/** What solving an end needs of its inputs; null for an embedding alone. */
interface Inputs {
  sums: StageSums
  gramDiagonal: Float32Array
  aim: Chosen | null
  /** λ is on the diagonal whatever the method does. */
  damps: boolean
}

export abstract class EndPass extends StagePass {
  #ends: { linears: Linears; left: PlannedEnd[] } | null = null

  /** Takes from the journal what it has of a run's ends. */
  protected async enterEnds(linears: Linears): Promise<void> {
    this.forgetTables()
    const { ends } = linears.run.plan
    const kept = ends.length ? await this.journal.ends() : new Map<string, KeptEnd>()
    this.#ends = { linears, left: ends.filter(({ name }) => !kept.has(name)) }
    for (const end of ends) {
      const known = kept.get(end.name)
      if (known) await this.#place(end, known)
    }
  }

  /** The ends of the run that are not solved. */
  protected get endsLeft(): PlannedEnd[] {
    return this.#ends?.left ?? []
  }

  /** Solves what has to be there before texts are embedded. */
  protected async solveTable(): Promise<void> {
    const end = this.endsLeft.find(({ use }) => use !== 'head')
    if (!end) return
    if (end.use === 'embedding') return this.#solve(end, null)
    const { run } = this.#ends!.linears
    this.stage(run.plan, 'calibrate', null, end.name)
    const seen = await this.embed([...this.calibration, ...this.heldOut])
    await this.carry([seen], 0)
    const sums = await this.#sumsOf(end, seen, null)
    seen.dispose()
    const gramDiagonal = await sums.diagonal!
    const sample = await this.#sample(end)
    const asLarge = await this.#evenRidge(sample, sums.seen.gram, gramDiagonal)
    sample.dispose()
    await this.#solve(end, { sums, gramDiagonal, aim: { damping: asLarge, alpha: 0, trials: [] }, damps: true })
    sums.dispose()
  }

  /** Solves the head from the states after the last quantized block, which are given up. */
  protected async solveHead({ seen, original }: Streams, blocks: number): Promise<void> {
    const end = this.endsLeft.find(({ use }) => use === 'head')
    if (!end) return
    const { plan } = this.#ends!.linears.run
    this.stage(plan, 'calibrate', null, end.name)
    await this.carry(original.batches.length ? [seen, original] : [seen], blocks)
    const sums = await this.#sumsOf(end, seen, plan.compared ? original : null)
    const gramDiagonal = await sums.diagonal!
    const aim = plan.aim && (await this.#choose(end, sums, gramDiagonal))
    await this.#solve(end, { sums, gramDiagonal, aim, damps: plan.aim?.damps ?? false })
    sums.dispose()
  }

  async #choose(end: PlannedEnd, sums: StageSums, gramDiagonal: Float32Array): Promise<Chosen> {
    const { gpu } = this
    const { plan } = this.#ends!.linears.run
    const sample = await this.#sample(end)
    const { seen, heldOut } = sums
    const problem = { gpu, gram: seen.gram, gramDiagonal, halfScales: true, weights: [sample], seen, heldOut }
    const chosen = await chooseAim(problem, plan.aim!, end.options)
    sample.dispose()
    return chosen
  }

  /** Sums over what the head sees; `original`: the same in the full-precision model. */
  async #sumsOf({ name, p }: PlannedEnd, seen: Hidden, original: Hidden | null): Promise<StageSums> {
    const { gpu } = this
    const { model } = this.opened
    const outer = await this.outerWeights()
    const sums = new StageSums(gpu, { name, p }, { compared: original !== null, sizes: false, parking: null })
    const normed = async (hidden: Hidden, i: number) => {
      const states = await hidden.take(i)
      const made = model.finish(gpu, outer, states)
      await hidden.giveBack(i, states)
      return made
    }
    for (const [i, batch] of seen.batches.entries()) {
      if (i === this.calibration.length) await sums.turn()
      const input = await normed(seen, i)
      const full = original && (await normed(original, i))
      sums.add(input, full, batch)
      input.dispose()
      full?.dispose()
      await gpu.pace()
    }
    sums.finish()
    return sums
  }

  /** Entries spread over the vocabulary, `[p, entries]`. */
  async #sample({ tensor, q, p }: PlannedEnd): Promise<Tensor> {
    const { gpu, opened } = this
    const count = Math.min(RUN, q)
    const runs = Math.min(SAMPLE / RUN, Math.floor(q / count))
    const sample = gpu.empty([p, runs * RUN])
    gpu.clear(sample)
    for (let run = 0; run < runs; run++) {
      const first = Math.floor((run * (q - count)) / Math.max(1, runs - 1))
      const some = await loadEntries(gpu, opened, tensor, { first, count, room: RUN })
      copyColumns(gpu, some, 0, sample, run * RUN, RUN)
      some.dispose()
    }
    return sample
  }

  /** The damping λ with which relative errors of rows count as much as those of logits: tr(W Σ Wᵀ) / ‖W‖² over the mean diagonal of Σ. */
  async #evenRidge(weight: Tensor, gram: Tensor, gramDiagonal: Float32Array): Promise<number> {
    const [logits, rows] = await Reading.all([objective(this.gpu, weight, gram), dot(this.gpu, weight, weight)])
    const mean = gramDiagonal.reduce((sum, value) => sum + value, 0) / gramDiagonal.length
    return rows > 0 && mean > 0 ? logits / rows / mean : 0
  }

  /** Solves an end, and puts it in its place. */
  async #solve(end: PlannedEnd, inputs: Inputs | null): Promise<void> {
    const { host } = this
    const { run } = this.#ends!.linears
    const started = host.control.clock
    this.stage(run.plan, 'solve', null, end.name)
    this.progress.enter(run.plan.solver.id)
    const counts = end.use === 'head' ? null : this.#tokenCounts(end.q)
    const { stored, sums, notes } = await this.#slices(end, inputs, counts)
    const { beyond, below } = scaleNotes(stored)
    const whole = inputs ? sums.logits : sums.table
    if (!Number.isFinite(whole.whole)) throw await this.overflow(this.calibration, run.plan.blocks, `the sum of squares of ${end.name}`)
    const result: EndResult = {
      ...endBits(end),
      name: end.name,
      use: end.use,
      type: gridKind(String(end.options.kind)).label!,
      relativeError: shareOf(whole),
      ...(inputs?.sums.heldOut && { heldOutError: shareOf(sums.heldOut) }),
      ...(counts && { tableError: shareOf(sums.table) }),
      ...(inputs?.aim && { aim: inputs.aim }),
      seconds: host.control.clock - started,
      notes: [...notes, beyond, below].filter((note) => note !== null),
    }
    this.progress.enter(FORWARD)
    await this.journal.keepEnd(result, stored, run.seconds)
    this.#ends!.left = this.endsLeft.filter((other) => other !== end)
    await this.#place(end, { end: result, stored })
  }

  /** Solves all slices of an end; `counts`: how often each token occurs, where rows are picked. */
  async #slices(end: PlannedEnd, inputs: Inputs | null, counts: Float32Array | null) {
    const { gpu, opened } = this
    const { linears } = this.#ends!
    const derived = new Derived()
    const unit = inputs ? null : identity(gpu, end.p)
    const { gram, gramDiagonal } = inputs ? { gram: inputs.sums.seen.gram, gramDiagonal: inputs.gramDiagonal } : unit!
    const slices = slicesOf(opened, gpu, end)
    const parts: { part: SolvedLinear; count: number }[] = []
    const sums = { table: nothing(), logits: nothing(), heldOut: nothing() }
    const notes = new Set<string>()
    for (const [i, { first, count, room }] of slices.entries()) {
      const weight = await loadEntries(gpu, opened, end.tensor, { first, count, room })
      const problem: LinearProblem = { gpu, weight, gram, gramDiagonal, derived, halfScales: true, last: i === slices.length - 1 }
      const { result, trouble } = inputs ? await this.#solved(end, inputs, problem) : { result: await rounded(end, problem), trouble: [] }
      const stored = collect(gpu, result, end.grid)
      const { what } = result
      linears.round(what)
      await gather(sums.table, counts && squares(gpu, weight, what, counts.subarray(first, first + count)))
      await gather(sums.logits, inputs && losses(gpu, weight, what, gram))
      await gather(sums.heldOut, inputs?.sums.heldOut ? losses(gpu, weight, what, inputs.sums.heldOut.gram) : null)
      parts.push({ part: await stored, count })
      for (const note of [...trouble, ...result.notes]) notes.add(note)
      weight.dispose()
      disposeQuantized(result)
      await gpu.pace()
    }
    derived.dispose()
    unit?.gram.dispose()
    return { stored: joinOutputs(parts), sums, notes: [...notes] }
  }

  /** A slice of the head by the run's method. */
  async #solved({ options }: PlannedEnd, { sums, aim, damps }: Inputs, problem: LinearProblem) {
    const { solver } = this.#ends!.linears.run.plan
    const own = aim && (await aimed(problem, sums.seen, aim, damps))
    const result = await solver.solve(own?.problem ?? problem, options, {})
    own?.dispose()
    return { result, trouble: own?.trouble ?? [] }
  }

  /** How often the calibration text has each token, as float32. */
  #tokenCounts(vocab: number): Float32Array<ArrayBuffer> {
    const counts = new Float32Array(vocab)
    for (const window of this.plan.calibration) for (const id of window) counts[id]++
    return counts
  }

  /** Tells and writes an end, and computes with it from now on. */
  async #place(end: PlannedEnd, { end: result, stored }: KeptEnd): Promise<void> {
    const { gpu } = this
    const { linears } = this.#ends!
    const { run } = linears
    const make = () => tableOf(gpu, stored, (part) => linears.restore(part))
    this.replaceTable(end.tensor, make)
    run.tellEnd(result)
    await run.output.linear(end.name, stored, async () => {
      const panels = make()
      const values = new Float32Array(end.q * end.p)
      for (const { first, tensor } of panels.parts) values.set((await gpu.read(tensor)) as Float32Array, first * end.p)
      disposePanels(panels)
      return values
    })
  }
}

/** Runs of entries that take about as much as the largest linear of a block; each has room for a multiple of four. */
function slicesOf({ model }: OpenModel, gpu: Device, { q, p }: PlannedEnd) {
  const largest = Math.max(...linearsOf(model.layouts[0]).map((linear) => linear.q * linear.p))
  const fit = Math.min(gpu.info.maxBinding / 4, Math.max(largest, LEAST * p))
  const each = Math.max(UNIT, Math.floor(fit / p / UNIT) * UNIT)
  return Array.from({ length: Math.ceil(q / each) }, (_, i) => {
    const count = Math.min(each, q - i * each)
    return { first: i * each, count, room: 4 * Math.ceil(count / 4) }
  })
}

const rounded = ({ options }: PlannedEnd, problem: LinearProblem) => rtn.solve(problem, options, {})

/** Σ of inputs that are as large as each other and have nothing to do with each other. */
function identity(gpu: Device, p: number) {
  const gramDiagonal = new Float32Array(p).fill(1)
  const gram = gpu.empty([p, p])
  gpu.clear(gram)
  const ones = gpu.upload(gramDiagonal, [p])
  putDiagonal(gpu, gram, ones)
  ones.dispose()
  return { gram, gramDiagonal }
}

const nothing = (): Squares => ({ lost: 0, whole: 0 })
const shareOf = ({ lost, whole }: Squares) => (whole > 0 ? lost / whole : 0)

async function gather(sum: Squares, asked: Reading<Squares> | null): Promise<void> {
  if (!asked) return
  const { lost, whole } = await asked
  sum.lost += lost
  sum.whole += whole
}

function difference(gpu: Device, weight: Tensor, what: Tensor): Tensor {
  const d = gpu.empty(weight.shape)
  gpu.copy(weight, d)
  subtract(gpu, d, what)
  return d
}

/** tr(D Σ Dᵀ) for D = W − Ŵ and for W. */
function losses(gpu: Device, weight: Tensor, what: Tensor, gram: Tensor): Reading<Squares> {
  const d = difference(gpu, weight, what)
  const asked = Reading.all([objective(gpu, d, gram), objective(gpu, weight, gram)])
  d.dispose()
  return asked.map(([lost, whole]) => ({ lost, whole }))
}

/** Σ n‖d‖² over the entries, each counted n times, for W − Ŵ and for W. */
function squares(gpu: Device, weight: Tensor, what: Tensor, counts: Float32Array): Reading<Squares> {
  const roots = new Float32Array(weight.cols)
  for (const [i, count] of counts.entries()) roots[i] = Math.sqrt(count)
  const cols = gpu.upload(roots, [weight.cols])
  const d = difference(gpu, weight, what)
  const w = gpu.empty(weight.shape)
  gpu.copy(weight, w)
  for (const one of [d, w]) scale(gpu, one, { cols })
  const asked = Reading.all([dot(gpu, d, d), dot(gpu, w, w)])
  for (const tensor of [d, w, cols]) tensor.dispose()
  return asked.map(([lost, whole]) => ({ lost, whole }))
}
