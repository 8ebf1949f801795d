/** A model that is on the GPU as a whole and reads one text piece by piece, keeping keys and values of what it has read. */
import { WorkbenchError } from '../../errors.ts'
import { flatIds, type TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { applyHead } from '../../gpu/head.ts'
import { applyCap, disposePast, embed, gemm, type Panels, type Past } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights } from '../../models/family.ts'
import { disposeBlock, disposePanels, heldBytes, loadBlock, type Outer } from '../../models/weights.ts'
import type { OpenModel } from '../../models/open.ts'
import { TokenInputs } from '../../models/token-inputs.ts'
import { restore } from '../../quant/linear.ts'
import type { RunSpec } from '../job/job.ts'
import { last } from '../passes/forward.ts'
import { endsOf, type Kept, linearNames, restoreBlock } from '../passes/restore.ts'

/** What a run made of the first `blocks` blocks. */
export interface Quantized {
  kept: Kept
  spec: Pick<RunSpec, 'overrides'>
  blocks: number
}

/** Part of the memory that weights may take; the rest is for activations and the cache. */
const WEIGHTS = 0.8

export class Reader {
  #pasts: Past[] = []
  readonly #said: TokenInputs | null

  private constructor(
    readonly gpu: Device,
    readonly opened: OpenModel,
    readonly blocks: BlockWeights[],
    readonly outer: Outer,
    /** The token table, which may be the head. */
    readonly table: Panels,
    /** Length of the longest text, a multiple of 4. */
    readonly whole: number,
  ) {
    this.#said = TokenInputs.of(gpu, opened)
    this.forget()
  }

  /**
   * `length`: tokens of the longest text.
   * @throws WorkbenchError `config-unsupported` for a family that sees whole windows only, `plan-invalid` for texts longer than the
   * model's window, `gpu-too-small` for models that do not fit
   */
  static async open(gpu: Device, opened: OpenModel, quantized: Quantized | null, length: number): Promise<Reader> {
    refuseText(gpu, opened, quantized && solvedNames(opened, quantized, [...(await quantized.kept.ends()).keys()]), length)
    const { layouts } = opened.model
    const { outer, table } = await endsOf(gpu, opened, quantized?.kept ?? null)
    const blocks: BlockWeights[] = []
    for (const k of layouts.keys()) {
      const full = await loadBlock(gpu, opened, k)
      blocks.push(quantized && k < quantized.blocks ? await replaced(gpu, opened, quantized, k, full) : full)
    }
    return new Reader(gpu, opened, blocks, outer, table, 4 * Math.ceil(length / 4))
  }

  /** Begins another text. */
  forget(): void {
    for (const past of this.#pasts) disposePast(past)
    // The last step is padded to four.
    this.#pasts = this.blocks.map(() => ({ length: 0, room: this.whole + 4, whole: this.whole }))
  }

  /** Logits of what comes after these tokens, which follow those read before: `[vocab]`. */
  async next(ids: ArrayLike<number>): Promise<Float32Array> {
    const { gpu, opened } = this
    const states = await this.#read(ids)
    const { cols } = states
    const row = gpu.zeros([4, cols])
    gpu.copy(states, row, cols, (ids.length - 1) * cols, 0)
    states.dispose()
    const normed = opened.model.finish(gpu, this.outer.weights, row)
    row.dispose()
    const parts = this.outer.head.parts.map(({ tensor }) => {
      const [n, d] = [Math.ceil(tensor.rows / 4) * 4, tensor.cols]
      const logits = gpu.empty([4, n])
      gemm(gpu, { a: normed, b: tensor, c: logits, m: 4, n, k: d, tb: true, lda: d, ldb: d, ldc: n })
      if (opened.model.logitCap !== undefined) applyCap(gpu, logits, logits.size, opened.model.logitCap)
      const read = gpu.read(logits).map((values) => values.subarray(0, tensor.rows))
      logits.dispose()
      return read
    })
    normed.dispose()
    const whole = new Float32Array(this.outer.head.rows)
    for (const [i, part] of (await Promise.all(parts)).entries()) whole.set(part, this.outer.head.parts[i].first)
    return whole
  }

  /** Probability of each of these tokens but the first, given those before it. A text of its own. */
  async probabilities(ids: ArrayLike<number>): Promise<Float64Array> {
    const { gpu, opened } = this
    this.forget()
    const states = await this.#read(ids)
    const normed = opened.model.finish(gpu, this.outer.weights, states)
    const targets = new Uint32Array(states.rows)
    targets.set(Array.from(ids).slice(1))
    const { losses } = await applyHead(gpu, normed, this.outer.head, targets, null, opened.model.logitCap)
    for (const tensor of [states, normed]) tensor.dispose()
    return losses.subarray(0, ids.length - 1).map((loss) => Math.exp(-loss))
  }

  /** States after the last block, padded to a multiple of four rows. */
  async #read(ids: ArrayLike<number>): Promise<Tensor> {
    const { gpu, opened } = this
    const t = Math.ceil(ids.length / 4) * 4
    const batch: TokenBatch = { ids: [Int32Array.from(ids)], windows: 1, length: ids.length, t }
    const flat = flatIds(batch)
    await this.#said?.learn(flat, this.outer.weights, this.table)
    const at = (k: number) => ({ windows: 1, t, past: this.#pasts[k], inputs: this.#said?.of(flat) })
    let x = opened.model.start(gpu, this.outer.weights, embed(gpu, this.table, flat), at(0))
    for (const [k, weights] of this.blocks.entries()) {
      const y = await last(opened.model.block(gpu, weights, x, at(k), k))
      x.dispose()
      x = y
    }
    for (const past of this.#pasts) past.length += ids.length
    return x
  }

  dispose(): void {
    for (const past of this.#pasts) disposePast(past)
    for (const weights of [...this.blocks, this.outer.weights]) disposeBlock(weights)
    for (const panels of new Set([this.table, this.outer.head])) disposePanels(panels)
  }
}

/** What a run solved, by module path; `ends`: embedding and head where they are among it. */
export function solvedNames(opened: OpenModel, { spec, blocks }: Pick<Quantized, 'spec' | 'blocks'>, ends: readonly string[]): Set<string> {
  return new Set([...Array.from({ length: blocks }, (_, k) => linearNames(opened, spec, k)).flat(), ...ends])
}

/** What a reader of this text throws before it reads any weights; `solved`: put in place, in f32. @throws WorkbenchError as `Reader.open` */
export function refuseText(gpu: Device, opened: OpenModel, solved: ReadonlySet<string> | null, length: number): void {
  const { model, family } = opened
  if (!model.continues)
    throw new WorkbenchError(
      'config-unsupported',
      `Texts cannot be continued with ${family.label} here: not all of its blocks attend to the tokens before by keys and values.`,
    )
  const { maxPositions } = model.shape
  if (maxPositions !== null && length > maxPositions)
    throw new WorkbenchError(
      'plan-invalid',
      `Prompt and continuation have ${length} tokens, and the model has ${maxPositions} positions.`,
      'Take a shorter prompt, or fewer tokens.',
    )
  const needed = heldBytes(gpu, opened, solved ?? new Set())
  if (needed > WEIGHTS * gpu.memoryBudget)
    throw new WorkbenchError(
      'gpu-too-small',
      `To continue a text, all weights have to be on the GPU: ${gib(needed)}, and ${gib(WEIGHTS * gpu.memoryBudget)} may be used for them.`,
      'Load an exported checkpoint in another program to hear it.',
    )
}

const gib = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`

/** A block with what was kept of it in the place of its linears and vectors. */
async function replaced(gpu: Device, opened: OpenModel, { kept, spec }: Quantized, k: number, full: BlockWeights): Promise<BlockWeights> {
  const weights: BlockWeights = new Map(full)
  await restoreBlock(gpu, opened, kept, { k, spec }, weights, (stored) => restore(gpu, stored))
  for (const [name, tensor] of full) if (weights.get(name) !== tensor) tensor.dispose()
  return weights
}
