/**
 * The model's own pass: hidden states of texts, carried through the blocks in full precision and judged after the last. One block is on
 * the GPU at a time, or all of them when the model is small.
 */
import { batchedPassages, countRight, type PassageBatch } from '../../eval/lambada.ts'
import { batched, flatIds, type Score, scoreOf, scoreWindows, type TokenBatch, type WindowScore } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { embed, type Panels } from '../../gpu/ops.ts'
import type { Products } from '../../gpu/products.ts'
import { type BlockWeights, kindsOf, linearsOf, type StageInput, stateWidth } from '../../models/family.ts'
import { TokenInputs } from '../../models/token-inputs.ts'
import type { OpenModel } from '../../models/open.ts'
import { type Outer, blockTensors, disposeBlock, disposePanels, loadBlock, loadOutside, loadPanels } from '../../models/weights.ts'
import type { Baseline, Host } from '../host.ts'
import type { Stage } from '../job/job.ts'
import type { LastWords, ProductsUsed } from '../job/result.ts'
import type { Journal } from '../keep/journal.ts'
import type { Parking } from '../parking.ts'
import type { Plan, PlannedRun } from '../plan/plan.ts'
import { overflow } from './finite.ts'
import { Hidden, Room } from './hidden.ts'
import { Peaks } from './peaks.ts'
import type { Progress } from './progress.ts'
import { FORWARD } from './pulse.ts'

/** A model whose weights take no more than this part of the memory stays on the GPU as a whole. */
const KEPT_SHARE = 1 / 64

/** The part of the memory that hidden states between blocks may take, of all texts together: at least, and at most. */
const STATES_SHARES = [1 / 32, 1 / 2]

/** Windows of the evaluation text that inputs in f16 are tried on, the most tokens of each, and the largest KL with which they are used. */
const TRIED = 4
const TRIED_LENGTH = 512
const MOST_KL = 1e-5

/** How their holder is called in the ledger of memory. */
export const BLOCK_WEIGHTS = 'weights of blocks'
const STATES = 'hidden states'

/** Floats of scratch that one batch of tokens may take: bounds the activations on the GPU. */
const BATCH_FLOATS = 24 * 2 ** 20

export abstract class ForwardPass {
  protected readonly budget: number
  protected readonly parking: Parking
  readonly calibration: TokenBatch[]
  /** They go through the blocks with the calibration windows, after them. */
  protected readonly heldOut: TokenBatch[]
  protected readonly evaluation: TokenBatch[]
  protected readonly passages: PassageBatch[]
  readonly #room: Room
  /** Full-precision blocks, kept while the whole model is small beside the budget. */
  readonly #blocks = new Map<number, BlockWeights>()
  readonly #keepsBlocks: boolean
  /** The same for the embedding and the head, by their names. */
  readonly #tables = new Map<string, Panels>()
  /** What the run at hand has in the place of these, by their names. */
  readonly #rounded = new Map<string, { make: () => Panels; kept: Panels | null }>()
  /** The small tensors outside the blocks. */
  #outside: BlockWeights | null = null
  /** What the tokens of all texts say to the blocks, once it is made; null where they say nothing. */
  readonly #said: TokenInputs | null
  #listened = false
  /** Final hidden states of the full-precision model on the evaluation text. */
  protected reference: Hidden | null = null
  /** Sees what passes through the blocks. */
  #peaks: Peaks | null = null

  constructor(
    readonly gpu: Device,
    readonly opened: OpenModel,
    readonly plan: Plan,
    readonly host: Host,
    readonly journal: Journal,
    readonly progress: Progress,
    halvings: number,
  ) {
    const { shape } = opened.model
    const part = 2 ** -halvings
    this.budget = gpu.memoryBudget / 4
    this.#said = TokenInputs.of(gpu, opened)
    this.parking = host.session.parking
    this.parking.tell = (problem) => host.emit({ type: 'notice', run: null, problem })
    this.#room = new Room(roomFor(opened, gpu.memoryBudget))
    this.#keepsBlocks = opened.parameters * 4 <= gpu.memoryBudget * KEPT_SHARE
    const perToken = 3 * shape.hidden + stateWidth(shape) + 2 * widestMlp(opened) + (shape.heads + 2 * shape.kvHeads) * shape.headDim
    const tokens = Math.min(
      (BATCH_FLOATS * part) / perToken,
      ((gpu.info.maxBinding / 4) * part) / Math.max(widestMlp(opened), stateWidth(shape), shape.heads * shape.headDim),
    )
    const many = (windows: Int32Array[]) =>
      windows.length ? batched(windows, Math.max(1, Math.floor(tokens / (windows[0].length + 3)))) : []
    this.calibration = many(plan.calibration)
    this.heldOut = many(plan.heldOut)
    this.evaluation = many(plan.evaluation)
    this.passages = batchedPassages(plan.passages, tokens)
    // A job goes on as it was begun.
    this.#judgeBy(journal.baseline?.products?.used)
  }

  // ---------------------------------------------------------------- the model as it is

  async baseline(): Promise<Baseline> {
    const products = await this.#chooseProducts()
    this.#judgeBy(products?.used)
    const passages = await this.embed(this.passages)
    this.#peaks = this.plan.job.save ? new Peaks(this.gpu, this.opened) : null
    const full = await this.full(passages)
    const peak = (await this.#peaks?.read()) ?? null
    this.#peaks = null
    const judgement = { ...(await this.score(full, null, 0)), lambada: await this.lastWords(passages, 0), peak, products }
    await this.journal.keepBaseline(judgement)
    return judgement
  }

  /** How the passes over evaluation texts are computed from now on. Calibration, whose inputs Σ is summed from, stays in f32. */
  #judgeBy(products: Products = 'f32'): void {
    for (const batch of [...this.evaluation, ...this.passages]) batch.products = products
  }

  /** Tries on the model as it is whether inputs in f16 make a difference, where the job asks for them. */
  async #chooseProducts(): Promise<ProductsUsed | undefined> {
    const { evaluation, job } = this.plan
    if (job.evaluation.products !== 'f16') return undefined
    const texts = evaluation.slice(0, TRIED).map((window) => window.subarray(0, TRIED_LENGTH))
    const batches = batched(texts, 1)
    const states = await this.embedAll([batches, batches.map((batch) => ({ ...batch, products: 'f16' as const }))])
    await this.carry(states, 0, (k) => this.stage(null, 'baseline', k))
    const [exact, narrowed] = states
    const { kl } = await this.score(narrowed, exact, 0)
    for (const hidden of states) hidden.dispose()
    // A dry run foresees what takes more memory.
    return { used: kl <= MOST_KL || !this.gpu.computes ? 'f16' : 'f32', kl, tokens: texts.reduce((sum, { length }) => sum + length, 0) }
  }

  /**
   * The full-precision states after the last block: from the journal, or by a pass through the model, which takes the
   * passages along.
   */
  protected async full(passages?: Hidden): Promise<Hidden> {
    if (this.reference) return this.reference
    this.stage(null, 'baseline', null)
    this.progress.enter(FORWARD)
    const holder = 'full-precision states of the evaluation text'
    let hidden = this.hidden(this.evaluation, holder)
    if (passages || !(await this.journal.reference(hidden))) {
      hidden.dispose()
      hidden = await this.embed(this.evaluation, holder)
      await this.carry(passages ? [hidden, passages] : [hidden], 0, (k) => this.stage(null, 'baseline', k))
      if (this.plan.runs.length) await this.journal.keepReference(hidden)
    }
    hidden.rest()
    this.reference = hidden
    return hidden
  }

  /** `holder`: whose states they are, in words. */
  protected hidden(batches: TokenBatch[], holder = STATES, eager = false): Hidden {
    if (this.#said) for (const batch of batches) batch.inputs ??= this.#said.of(flatIds(batch))
    return new Hidden(this.gpu, batches, stateWidth(this.opened.model.shape), this.#room, this.parking, holder, eager)
  }

  /** Carries hidden states from block `from` to the end in full precision. */
  protected async carry(states: Hidden[], from: number, entering: (k: number) => void = () => {}): Promise<void> {
    for (let k = from; k < this.opened.model.shape.blocks; k++) {
      entering(k)
      const weights = await this.load(k)
      for (const hidden of states) await this.advance(hidden, weights, k)
      this.unload(weights)
    }
  }

  /**
   * Perplexity of hidden states after the last block, and how far they are from the full-precision ones; `quantized`: blocks
   * that are, from the first. @throws WorkbenchError `activations-not-finite`
   */
  protected async score(hidden: Hidden, full: Hidden | null, quantized: number): Promise<Score> {
    const outer = await this.#outer(quantized > 0)
    const own = full && this.#rounded.has(this.opened.head) && quantized ? await this.#panels(this.opened.head) : null
    const scores: WindowScore[] = []
    for (const [i, batch] of hidden.batches.entries()) {
      const states = await hidden.take(i)
      const reference = (await full?.take(i)) ?? null
      const some = await scoreWindows(
        this.gpu,
        this.opened.model,
        outer,
        states,
        batch,
        reference,
        own ?? outer.head,
        full?.batches[i].products,
      )
      await hidden.giveBack(i, states)
      if (reference) await full!.giveBack(i, reference)
      if (!some.every(({ loss }) => Number.isFinite(loss))) throw await this.overflow([batch], quantized, 'the loss')
      scores.push(...some)
    }
    this.#drop(outer.head)
    if (own) this.#drop(own)
    const score = scoreOf(scores)
    if (!Number.isFinite(score.perplexity)) throw await this.overflow(hidden.batches, quantized, 'the perplexity')
    return score
  }

  /** The error for numbers that are not finite. `blocks`: how many of the model to look at, from the first. */
  async overflow(batches: TokenBatch[], quantized: number, found: string, blocks = this.opened.model.shape.blocks) {
    const full = new Map<number, BlockWeights>()
    const start = async (batch: TokenBatch) => (await this.embedAll([[batch]], undefined, [quantized > 0]))[0].take(0)
    const enter = async (k: number) => {
      full.set(k, await this.load(k))
      const weights: BlockWeights = new Map(full.get(k))
      if (k < quantized) await this.restoreBlock(k, weights)
      return weights
    }
    const leave = (k: number, weights: BlockWeights) => {
      for (const [name, tensor] of weights) if (full.get(k)!.get(name) !== tensor) tensor.dispose()
      this.unload(full.get(k)!)
    }
    const { gpu, opened } = this
    return overflow({ gpu, opened, blocks, quantized, start, enter, leave }, batches, found)
  }

  /** Last-word accuracy from the hidden states of the passages after the last block, which are given up. */
  protected async lastWords(hidden: Hidden, quantized: number): Promise<LastWords | undefined> {
    if (!this.passages.length) return
    const outer = await this.#outer(quantized > 0)
    let right = 0
    for (const [i, batch] of this.passages.entries()) {
      const states = await hidden.take(i)
      right += await countRight(this.gpu, this.opened.model, outer, states, batch)
      states.dispose()
      if (Number.isNaN(right)) throw await this.overflow([batch], quantized, 'the loss of a passage')
      await this.gpu.pace()
    }
    this.#drop(outer.head)
    return { passages: this.plan.passages.length, right }
  }

  /** One block for all batches. */
  protected async advance(hidden: Hidden, weights: BlockWeights, k: number): Promise<void> {
    await this.listen()
    for (let i = 0; i < hidden.batches.length; i++) {
      const x = await hidden.take(i)
      const steps = this.opened.model.block(this.gpu, weights, x, hidden.batches[i], k)
      const y = await last(steps, ({ stage, input }) => this.#peaks?.see(input, k, stage))
      this.#peaks?.see(y, k, null)
      x.dispose()
      await hidden.give(i, y)
      await this.gpu.pace()
    }
  }

  protected async embed(batches: TokenBatch[], holder = STATES): Promise<Hidden> {
    const [hidden] = await this.embedAll([batches], [this.hidden(batches, holder)])
    return hidden
  }

  /** The embedded tokens of several texts, into `all`; `quantized`: which of them by the table of the run at hand. */
  protected async embedAll(
    texts: TokenBatch[][],
    all = texts.map((batches) => this.hidden(batches)),
    quantized: boolean[] = texts.map(() => false),
  ): Promise<Hidden[]> {
    const { gpu, opened } = this
    const rounded = this.#rounded.has(opened.embedding)
    for (const own of [false, true]) {
      const some = [...texts.entries()].filter(([n, { length }]) => length && (rounded && quantized[n]) === own)
      if (!some.length) continue
      const weights = await this.outerWeights()
      const table = await this.#panels(opened.embedding, own)
      await this.#listen(table)
      for (const [n, batches] of some)
        for (const [i, batch] of batches.entries())
          await all[n].give(i, opened.model.start(gpu, weights, embed(gpu, table, flatIds(batch)), batch))
      this.#drop(table)
    }
    return all
  }

  /** Makes what the tokens of all texts say to the blocks. With such models the embedding stays as it is. */
  async #listen(table: Panels): Promise<void> {
    if (this.#listened) return
    this.#listened = true
    const texts = [...this.calibration, ...this.heldOut, ...this.evaluation, ...this.passages]
    const ids = new Set<number>()
    for (const batch of texts) for (const id of flatIds(batch)) ids.add(id)
    await this.#said?.learn(ids, await this.outerWeights(), table)
  }

  /** The same before states go on that came from the journal: they were embedded in an earlier life. */
  protected async listen(): Promise<void> {
    if (!this.#said || this.#listened) return
    const table = await this.#panels(this.opened.embedding)
    await this.#listen(table)
    this.#drop(table)
  }

  /** What scores hidden states; its head is given back by `#drop`. `quantized`: as the run at hand has it. */
  async #outer(quantized: boolean): Promise<Outer> {
    return { weights: await this.outerWeights(), head: await this.#panels(this.opened.head, quantized) }
  }

  protected async outerWeights(): Promise<BlockWeights> {
    if (!this.#outside) {
      this.#outside = await loadOutside(this.gpu, this.opened)
      this.gpu.memory.assign(this.#outside.values(), 'embedding and head')
    }
    return this.#outside
  }

  /** The embedding or the head, on the GPU while something needs it. */
  async #panels(name: string, quantized = false): Promise<Panels> {
    const rounded = quantized && this.#rounded.get(name)
    if (rounded) {
      const made = rounded.kept ?? rounded.make()
      if (this.#keepsBlocks) rounded.kept = made
      return made
    }
    const panels = this.#tables.get(name) ?? (await loadPanels(this.gpu, this.opened, name))
    this.gpu.memory.assign(
      panels.parts.map(({ tensor }) => tensor),
      'embedding and head',
    )
    if (this.#keepsBlocks) this.#tables.set(name, panels)
    return panels
  }

  /** From now on the run at hand has this in the place of the embedding or head of this name. */
  protected replaceTable(name: string, make: () => Panels): void {
    this.#rounded.set(name, { make, kept: null })
  }

  /** Another run begins. */
  protected forgetTables(): void {
    for (const { kept } of this.#rounded.values()) if (kept) disposePanels(kept)
    this.#rounded.clear()
  }

  #drop(panels: Panels): void {
    if (!this.#keepsBlocks) disposePanels(panels)
  }

  protected async load(k: number): Promise<BlockWeights> {
    const kept = this.#blocks.get(k)
    if (kept) return kept
    const { checkpoint } = this.opened.folder
    // With what follows, so that a far checkpoint stays busy while the last tensors of this block are read.
    checkpoint.ahead([...blockTensors(this.opened, k), ...this.#after(k)])
    const weights = await loadBlock(this.gpu, this.opened, k)
    this.gpu.memory.assign(weights.values(), BLOCK_WEIGHTS)
    if (this.#keepsBlocks) this.#blocks.set(k, weights)
    return weights
  }

  /** Tensors that will be wanted once the GPU is done with block k. */
  #after(k: number): string[] {
    if (k + 1 < this.opened.model.shape.blocks) return this.#blocks.has(k + 1) ? [] : blockTensors(this.opened, k + 1)
    return this.#tables.has(this.opened.head) ? [] : [this.opened.head]
  }

  protected unload(weights: BlockWeights): void {
    if (!this.#keepsBlocks) disposeBlock(weights)
  }

  stage(run: PlannedRun | null, stage: Stage, block: number | null, linear: string | null = null): void {
    this.gpu.memory.holder = linear === null ? `a pass: ${stage}` : `the solver of ${linear}`
    this.host.emit({ type: 'stage', run: run?.spec.id ?? null, stage, block, linear })
  }

  /** Puts the quantized weights of block k in the place of those in `weights`. */
  protected abstract restoreBlock(k: number, weights: BlockWeights): Promise<void>
}

/** Of all blocks. */
const widestMlp = ({ model: { shape, layouts } }: OpenModel) =>
  Math.max(shape.ffn, ...kindsOf({ layouts }).flatMap(({ stages }) => stages.at(-1)!.map(({ p }) => p)))

/**
 * Bytes for hidden states: what the weights of a block, as stored and quantized, and the solvers or the head leave. Beside its Σ, a linear
 * takes a factor and what a method keeps of its weights, or two more sums while its inputs are summed up.
 */
function roomFor({ model: { layouts, shape }, dtype }: OpenModel, memory: number): number {
  const kinds = kindsOf({ layouts }).map(linearsOf)
  const block = Math.max(...kinds.map((linears) => linears.reduce((sum, { p, q }) => sum + p * q, 0)))
  const solving = Math.max(...kinds.flat().map(({ p, q }) => 2 * p * p + Math.max(p * p + 3 * p * q, 7 * p * q)))
  const others = 4 * Math.max(solving, shape.vocab * shape.embedWidth) + (dtype === 'F32' ? 8 : 6) * block
  const [least, most] = STATES_SHARES
  return Math.min(memory * most, Math.max(memory * least, memory - others))
}

/** Runs a block to its end. */
export async function last<T>(steps: AsyncGenerator<StageInput, T>, see: (pause: StageInput) => void = () => {}): Promise<T> {
  let step = await steps.next()
  for (; !step.done; step = await steps.next()) see(step.value)
  return step.value
}
