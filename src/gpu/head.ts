/**
 * Losses of the output head without materializing all logits: row panels of the head times batches of rows. The vocabulary is summed in
 * blocks of entries on the GPU, and the blocks in float64 on the host.
 */
import type { Device } from './device.ts'
import { applyCap, disposeNarrowed, gemm, narrow, type Narrowed, type Panels, scratchBytes } from './ops.ts'
import type { Products } from './products.ts'
import type { Tensor, TypedArray } from './tensor.ts'

/** Entries of the vocabulary that are summed on the GPU (lib/vocabulary.wgsl). */
export const BLOCK = 1024
/** Rows of hidden states in one product. */
const TURN = 512
/** Bytes of sums of blocks that are read back at once, of each model: with a large vocabulary a row has kilobytes of them. */
const READ_BYTES = 8 << 20

export interface HeadResult {
  /** Cross-entropy of each row against its target, in nats. */
  losses: Float64Array
  /** The token that each row would pick. */
  top: Uint32Array
  /** KL(reference ‖ hidden) of each row, in nats. Only with a reference. */
  divergence?: Float64Array
  /** 1 where both would pick the same token. Only with a reference. */
  agreement?: Uint8Array
}

/** How the head takes hidden states, those of the model and of its reference; f32 where nothing is said. */
export interface HeadProducts {
  own?: Products
  reference?: Products
}

/**
 * Losses, and how far they are from a reference. Losses are the same bits with and without one, and for any panels that
 * start at multiples of `BLOCK`.
 * hidden, reference: `[rows, d]` after the final norm; targets: `[rows]`; `referenceHead`: of the reference, cut as `head` is.
 */
export async function applyHead(
  gpu: Device,
  hidden: Tensor,
  head: Panels,
  targets: Uint32Array<ArrayBuffer>,
  reference: Tensor | null = null,
  cap?: number,
  referenceHead: Panels = head,
  products: HeadProducts = {},
): Promise<HeadResult> {
  const { rows, cols: d } = hidden
  const many = Math.max(TURN, Math.floor(READ_BYTES / (16 * Math.ceil(head.rows / BLOCK)) / TURN) * TURN)
  const results: HeadResult[] = []
  for (let row = 0; row < rows; row += many) {
    const count = Math.min(many, rows - row)
    const some = (x: Tensor) => x.view([count, d], row * d)
    results.push(
      await applyToRows(
        gpu,
        some(hidden),
        head,
        targets.slice(row, row + count),
        reference && some(reference),
        cap,
        referenceHead,
        products,
      ),
    )
  }
  return results.length === 1 ? results[0] : together(results)
}

function together(results: HeadResult[]): HeadResult {
  const all = <T>(pick: (one: HeadResult) => Iterable<T>) => results.flatMap((one) => [...pick(one)])
  const own = { losses: Float64Array.from(all(({ losses }) => losses)), top: Uint32Array.from(all(({ top }) => top)) }
  if (!results[0].divergence) return own
  const divergence = Float64Array.from(all((one) => one.divergence!))
  return { ...own, divergence, agreement: Uint8Array.from(all((one) => one.agreement!)) }
}

/** As many rows as are read back at once. */
async function applyToRows(
  gpu: Device,
  hidden: Tensor,
  head: Panels,
  targets: Uint32Array<ArrayBuffer>,
  reference: Tensor | null,
  cap: number | undefined,
  referenceHead: Panels,
  products: HeadProducts,
): Promise<HeadResult> {
  const rows = hidden.rows
  // Views start at multiples of 64 elements: turns of 512 rows of anything do.
  const turn = Math.min(rows, TURN)
  const cut = cutHead(gpu, head, turn)
  const wanted = gpu.upload(targets, [rows])
  const narrowed: Narrowed[] = []
  const inputs = (states: Tensor, as: Products = 'f32'): Inputs => {
    if (as === 'f32' || states.cols % 4) return { states }
    const { values, scales } = narrow(gpu, states)
    narrowed.push({ values, scales })
    return { states: values, scales }
  }
  const side = (states: Tensor, of: Panels, as?: Products): Side => ({
    ...inputs(states, as),
    panels: of.parts.map(({ tensor }) => tensor),
    logits: gpu.empty([turn, cut.width]),
    parts: gpu.empty([rows, cut.blocks * 4]),
  })
  const model = side(hidden, head, products.own)
  const compared = reference && { ...side(reference, referenceHead, products.reference), terms: gpu.empty([rows, cut.blocks * 4]) }
  for (let row = 0; row < rows; row += turn) {
    const some = { row, rows: Math.min(turn, rows - row) }
    for (const piece of cut.pieces) {
      for (const one of compared ? [model, compared] : [model]) sumPiece(gpu, cut, piece, some, one, wanted, cap)
      if (compared) comparePiece(gpu, cut, piece, some, model, compared)
      await gpu.pace()
    }
  }
  const read = [model.parts, ...(compared ? [compared.parts, compared.terms] : [])].map((tensor) => gpu.read(tensor))
  const [ofModel, ofReference, terms] = await Promise.all(read)
  for (const one of narrowed) disposeNarrowed(one)
  for (const tensor of [wanted, model.logits, model.parts, compared?.logits, compared?.parts, compared?.terms]) tensor?.dispose()
  // A dry run would spend its time here, on numbers that nobody computed.
  if (!gpu.computes) return nothing(rows, reference !== null)
  return joined(rows, cut.blocks, ofModel, compared && { parts: ofReference, terms })
}

/** Hidden states `[rows, d]`, in f16 with the scales of their rows where products take them so. */
interface Inputs {
  states: Tensor
  scales?: Tensor
}

/** What the head makes of some hidden states: logits of one piece, and sums of all blocks, `[rows, blocks]` of four. */
interface Side extends Inputs {
  /** Of its head. */
  panels: Tensor[]
  logits: Tensor
  parts: Tensor
}

/** Some entries of the vocabulary: rows `from` on of one panel of the head, in whole blocks. */
interface Piece {
  /** Which panel. */
  panel: number
  from: number
  /** The first entry. */
  first: number
  count: number
  blocks: number
  block0: number
}

/** How the vocabulary is cut, so that the logits of a turn of so many rows fit. */
interface Cut {
  pieces: Piece[]
  /** The most entries of a piece, a multiple of 4. */
  width: number
  blocks: number
}

function cutHead(gpu: Device, head: Panels, turn: number): Cut {
  const fit = Math.floor(scratchBytes(gpu) / 4 / turn)
  const unit = fit < BLOCK ? 64 : BLOCK
  const width = Math.min(Math.ceil(head.rows / 4) * 4, Math.max(unit, Math.floor(fit / unit) * unit))
  const pieces: Piece[] = []
  let blocks = 0
  for (const [panel, { first, tensor }] of head.parts.entries()) {
    for (let from = 0; from < tensor.rows; from += width) {
      const count = Math.min(width, tensor.rows - from)
      const own = Math.ceil(count / BLOCK)
      pieces.push({ panel, from, first: first + from, count, blocks: own, block0: blocks })
      blocks += own
    }
  }
  return { pieces, width, blocks }
}

interface Rows {
  row: number
  rows: number
}

const rowsOf = (x: Tensor, { row, rows }: Rows) => x.view([rows, ...x.shape.slice(1)], (row * x.size) / x.rows)

/** Logits of some rows for one piece, and their sums by blocks. */
function sumPiece(gpu: Device, cut: Cut, piece: Piece, some: Rows, side: Side, targets: Tensor, cap?: number): void {
  const { states, panels, logits, parts } = side
  const scales = side.scales && rowsOf(side.scales, some)
  const { panel, from, first, count, blocks: here, block0 } = piece
  const [m, d, ld] = [some.rows, states.cols, cut.width]
  const n = Math.ceil(count / 4) * 4
  const operands = { a: states, scales, b: panels[panel], c: logits, tb: true, lda: d, ldb: d, ldc: ld, a0: some.row * d, b0: from * d }
  gemm(gpu, { ...operands, m, n, k: d })
  if (cap !== undefined) applyCap(gpu, logits, m * ld, cap)
  const params = { rows: m, ld, first, count, some: here, blocks: cut.blocks, block0 }
  gpu.run1d('logsumexp', { logits, targets: rowsOf(targets, some), parts: rowsOf(parts, some) }, params, m * here, { flops: 4 * m * count })
}

/** What the divergence of the model from the reference needs of the same rows and piece. */
function comparePiece(
  gpu: Device,
  cut: Cut,
  { count, blocks: here, block0 }: Piece,
  some: Rows,
  model: Side,
  compared: Side & { terms: Tensor },
): void {
  const bindings = {
    full: compared.logits,
    logits: model.logits,
    reference: rowsOf(compared.parts, some),
    model: rowsOf(model.parts, some),
    terms: rowsOf(compared.terms, some),
  }
  const params = { rows: some.rows, ld: cut.width, count, some: here, blocks: cut.blocks, block0 }
  gpu.run1d('divergence', bindings, params, some.rows * here, { flops: 4 * some.rows * count })
}

function nothing(rows: number, compared: boolean): HeadResult {
  const own = { losses: new Float64Array(rows), top: new Uint32Array(rows) }
  return compared ? { ...own, divergence: new Float64Array(rows), agreement: new Uint8Array(rows) } : own
}

/** The blocks of each row together; `parts` and `terms` as the kernels leave them. */
function joined(rows: number, blocks: number, parts: TypedArray, reference: { parts: TypedArray; terms: TypedArray } | null): HeadResult {
  const losses = new Float64Array(rows)
  const top = new Uint32Array(rows)
  const divergence = reference && new Float64Array(rows)
  const agreement = reference && new Uint8Array(rows)
  for (let row = 0; row < rows; row++) {
    const { most, sum, hit, entry } = wholeRow(parts, row, blocks)
    losses[row] = most + Math.log(sum) - hit
    top[row] = entry
    if (!reference || !divergence || !agreement) continue
    const full = wholeRow(reference.parts, row, blocks)
    agreement[row] = Number(full.entry === entry)
    divergence[row] = rowDivergence(reference, row, blocks, most, full)
  }
  return divergence && agreement ? { losses, top, divergence, agreement } : { losses, top }
}

/** Largest logit and its entry, Σ e^(x − most), and the target's logit. */
function wholeRow(parts: TypedArray, row: number, blocks: number) {
  const start = 4 * row * blocks
  let [most, entry, sum, hit] = [Number.NEGATIVE_INFINITY, 0, 0, 0]
  for (let at = start; at < start + 4 * blocks; at += 4) {
    if (parts[at] > most) [most, entry] = [parts[at], parts[at + 2]]
    hit += parts[at + 3]
  }
  for (let at = start; at < start + 4 * blocks; at += 4) sum += parts[at + 1] * Math.exp(parts[at] - most)
  return { most, entry, sum, hit }
}

/**
 * KL(reference ‖ model) = ln(1 + A + B) − B, with p the reference's softmax, A = Σ p (e^u − 1 − u), B = Σ p u, and u the
 * difference of the logits less that of their maxima. A block has its own r instead (divergence.wgsl), u = u_block + h:
 *   e^u − 1 − u = e^h (e^u_block − 1 − u_block) + (e^h − 1) u_block + (e^h − 1 − h)
 */
function rowDivergence(
  { parts, terms }: { parts: TypedArray; terms: TypedArray },
  row: number,
  blocks: number,
  most: number,
  full: { most: number; sum: number },
): number {
  let [a, b] = [0, 0]
  for (let at = 4 * row * blocks; at < 4 * (row + 1) * blocks; at += 4) {
    const [ownA, ownB, r] = [terms[at], terms[at + 1], terms[at + 2]]
    const sum = parts[at + 1]
    const away = parts[at] - full.most
    const h = r - (most - full.most)
    const weight = Math.exp(away)
    // Both in range where e^h alone is not.
    const risen = Math.exp(away + h)
    const gained = Math.abs(h) < 1 ? weight * Math.expm1(h) : risen - weight
    a += risen * ownA + gained * ownB + (gained - weight * h) * sum
    b += weight * (ownB + h * sum)
  }
  const [meanA, meanB] = [a / full.sum, b / full.sum]
  return Math.log1p(meanA + meanB) - meanB
}
