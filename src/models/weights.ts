/** Loads weights to the GPU, one block at a time. */
import type { Device } from '../gpu/device.ts'
import { BLOCK } from '../gpu/head.ts'
import { type Panels, type StoredDType, addBias, convert, heldAs } from '../gpu/ops.ts'
import { isHalf, type Tensor } from '../gpu/tensor.ts'
import { discard } from '../io/bytes.ts'
import { restore } from '../quant/linear.ts'
import { type BlockWeights, keptOf, linearsOf } from './family.ts'
import { FiniteCheck } from './finite.ts'
import { type OpenModel, blockName } from './open.ts'

/** Bytes read and uploaded at a time. */
const PIECE = 8 * 2 ** 20

/** Everything that `loadBlock` reads, by full name. */
export function blockTensors(opened: OpenModel, k: number): string[] {
  const { model, folder } = opened
  const { packing, checkpoint } = folder
  const layout = model.layouts[k]
  const others = [...layout.vectors, ...keptOf(layout)].map(({ name }) => blockName(opened, k, name))
  const linears = linearsOf(layout).flatMap(({ name, q, p }) => {
    const full = blockName(opened, k, name)
    return packing?.holds(checkpoint, full) ? packing.tensors(checkpoint, full, { q, p }) : [`${full}.weight`]
  })
  return [...others, ...linears]
}

/** Block k, as `heldAs` says where it is not quantized, else in f32; linears as `<name>.weight` `[in, out]`. @throws WorkbenchError `weights-not-finite` */
export async function loadBlock(gpu: Device, opened: OpenModel, k: number): Promise<BlockWeights> {
  const layout = opened.model.layouts[k]
  const [linears, kept] = [linearsOf(layout), keptOf(layout)]
  const check = new FiniteCheck(gpu, linears.length + layout.vectors.length + kept.length)
  const weights: BlockWeights = new Map()
  try {
    for (const { name, length, plus = 0 } of layout.vectors) {
      const vector = await loadRows(gpu, opened, blockName(opened, k, name), { rows: length, cols: 1 }, check)
      weights.set(name, vector)
      addConstant(gpu, vector, plus)
    }
    for (const { name, shape, linear = false } of kept) {
      const [rows, ...rest] = shape
      const cols = rest.reduce((a, b) => a * b, 1)
      weights.set(name, await loadRows(gpu, opened, blockName(opened, k, name), { rows, cols, transposed: linear }, check))
    }
    for (const linear of linears)
      weights.set(
        `${linear.name}.weight`,
        await readLinear(gpu, opened, blockName(opened, k, linear.name), { ...linear, asStored: true }, check),
      )
    await check.finish()
    return weights
  } catch (error) {
    disposeBlock(weights)
    throw error
  }
}

/**
 * What the weights of all blocks, embedding and head take on the GPU, in bytes, as `loadBlock`, `loadPanels` and `loadOutside` hold them;
 * those that `inFloats` names, by module path, in f32.
 */
export function heldBytes(gpu: Device, opened: OpenModel, inFloats: ReadonlySet<string>): number {
  const { model, folder, embedding, head } = opened
  const { packing, checkpoint } = folder
  const { vocab, embedWidth } = model.shape
  const product = (extents: readonly number[]) => extents.reduce((a, b) => a * b, 1)
  const asStored = (name: string, rows: number, cols: number) =>
    rows * cols * (heldAs(checkpoint.tensors.get(name)!.dtype as StoredDType, rows, cols) === 'f32' ? 4 : 2)
  const linear = (full: string, q: number, p: number) =>
    inFloats.has(full) || packing?.holds(checkpoint, full) ? 4 * q * p : asStored(`${full}.weight`, q, p)
  const blocks = model.layouts.map((layout, k) => {
    const others = [...layout.vectors.map(({ length }) => length), ...keptOf(layout).map(({ shape }) => product(shape))]
    return [...others.map((size) => 4 * size), ...linearsOf(layout).map(({ name, q, p }) => linear(blockName(opened, k, name), q, p))]
  })
  const height = panelHeight(gpu, embedWidth)
  const tables = [...new Set([embedding, head])].flatMap((name) =>
    Array.from({ length: Math.ceil(vocab / height) }, (_, i) => {
      const rows = Math.min(height, vocab - i * height)
      return inFloats.has(name.replace(/\.weight$/, '')) ? 4 * rows * embedWidth : asStored(name, rows, embedWidth)
    }),
  )
  const outer = model.outer.map(({ shape }) => 4 * product(shape))
  return [...blocks.flat(), ...tables, ...outer].reduce((sum, bytes) => sum + bytes, 0)
}

/** The linear of this full name by itself, dequantized to f32 `[in, out]`. @throws WorkbenchError `weights-not-finite` */
export async function loadLinear(gpu: Device, opened: OpenModel, full: string, size: { q: number; p: number }): Promise<Tensor> {
  const check = new FiniteCheck(gpu, 1)
  const weight = await readLinear(gpu, opened, full, { ...size, asStored: false }, check)
  await check.finish()
  return weight
}

async function readLinear(
  gpu: Device,
  opened: OpenModel,
  full: string,
  { q, p, asStored }: { q: number; p: number; asStored: boolean },
  check: FiniteCheck,
): Promise<Tensor> {
  const { packing, checkpoint } = opened.folder
  if (packing?.holds(checkpoint, full)) return restore(gpu, await packing.read(checkpoint, full, { q, p }))
  return loadRows(gpu, opened, `${full}.weight`, { rows: q, cols: p, transposed: true, asStored }, check)
}

export function disposeBlock(weights: BlockWeights): void {
  for (const tensor of weights.values()) tensor.dispose()
}

/**
 * Rows of a panel of the embedding or the head. Panels stay well below the binding limit, so that a panel and its logits fit, and start at
 * whole blocks of the vocabulary, so that its sums do not depend on them, or at least at whole kilobytes.
 */
export function panelHeight(gpu: Device, cols: number): number {
  const fit = Math.floor(Math.min(gpu.info.maxBinding, 256 * 2 ** 20) / (cols * 4))
  const unit = fit < BLOCK ? 64 : BLOCK
  return Math.max(64, Math.floor(fit / unit) * unit)
}

/** Rows `first .. first + count` of the embedding or the head as linears are held, f32 `[embedWidth, room]`, with zeros beyond. @throws WorkbenchError `weights-not-finite` */
export async function loadEntries(
  gpu: Device,
  opened: OpenModel,
  name: string,
  { first, count, room }: { first: number; count: number; room: number },
): Promise<Tensor> {
  const check = new FiniteCheck(gpu, 1)
  const { embedWidth: cols } = opened.model.shape
  const weight = await loadRows(gpu, opened, name, { first, rows: count, cols, room, transposed: true }, check)
  await check.finish()
  return weight
}

/** The embedding or the head as panels of rows that fit a binding. */
export async function loadPanels(gpu: Device, opened: OpenModel, name: string): Promise<Panels> {
  opened.folder.checkpoint.ahead([name])
  const { vocab: rows, embedWidth: cols } = opened.model.shape
  const height = panelHeight(gpu, cols)
  const panels: Panels = { rows, cols, parts: [] }
  const check = new FiniteCheck(gpu, Math.ceil(rows / height))
  for (let first = 0; first < rows; first += height) {
    panels.parts.push({
      first,
      tensor: await loadRows(gpu, opened, name, { first, rows: Math.min(height, rows - first), cols, asStored: true }, check),
    })
  }
  await check.finish()
  return panels
}

/** Rows `first .. first + rows` of a stored matrix, which fit a binding. @throws WorkbenchError `weights-not-finite` */
export async function loadSome(
  gpu: Device,
  opened: OpenModel,
  name: string,
  some: { first: number; rows: number; cols: number },
): Promise<Panels> {
  const check = new FiniteCheck(gpu, 1)
  const tensor = await loadRows(gpu, opened, name, { ...some, asStored: true }, check)
  await check.finish()
  return { rows: some.first + some.rows, cols: some.cols, parts: [{ first: some.first, tensor }] }
}

export function disposePanels(panels: Panels): void {
  for (const { tensor } of panels.parts) tensor.dispose()
}

/** What makes scores of hidden states, on the GPU: the head, and the small tensors outside the blocks, by name. */
export interface Outer {
  weights: BlockWeights
  head: Panels
}

/** The tensors outside the blocks, but for embedding and head. @throws WorkbenchError `weights-not-finite` */
export async function loadOutside(gpu: Device, opened: OpenModel): Promise<BlockWeights> {
  const { outer } = opened.model
  opened.folder.checkpoint.ahead(outer.map(({ name }) => `${opened.prefix}${name}`))
  const weights: BlockWeights = new Map()
  const check = new FiniteCheck(gpu, Math.max(1, outer.length))
  for (const { name, shape, linear = false, plus = 0 } of outer) {
    const [rows, cols = 1] = shape
    const tensor = await loadRows(gpu, opened, `${opened.prefix}${name}`, { rows, cols, transposed: linear }, check)
    weights.set(name, tensor)
    addConstant(gpu, tensor, plus)
  }
  await check.finish()
  return weights
}

export async function loadOuter(gpu: Device, opened: OpenModel): Promise<Outer> {
  return { weights: await loadOutside(gpu, opened), head: await loadPanels(gpu, opened, opened.head) }
}

function addConstant(gpu: Device, x: Tensor, value: number): void {
  if (!value) return
  const row = gpu.upload(new Float32Array(x.size).fill(value), [x.size])
  addBias(gpu, x.view([1, x.size]), row)
  row.dispose()
}

interface StoredRows {
  /** Rows `first .. first + rows` of a stored matrix. */
  first?: number
  rows: number
  cols: number
  /** Rows that the tensor has, zeros beyond those that are read; missing: as many as are read. */
  room?: number
  /** To `[cols, rows]`. */
  transposed?: boolean
  /** In 16 bits where they are stored so and products can take them, and not in f32. */
  asStored?: boolean
}

/** Some rows of a stored matrix, piece by piece. */
async function loadRows(gpu: Device, { folder }: OpenModel, name: string, asked: StoredRows, check: FiniteCheck): Promise<Tensor> {
  const { first = 0, rows, cols, room = rows, transposed = false, asStored = false } = asked
  const dtype = folder.checkpoint.tensors.get(name)!.dtype as StoredDType
  const rowBytes = cols * (dtype === 'F32' ? 4 : 2)
  const out = gpu.empty(transposed ? [cols, room] : [room, cols], asStored ? heldAs(dtype, room, cols) : 'f32', name)
  if (room > rows) gpu.clear(out)
  const bad = check.counter(name)
  // In 16 bits, two rows beside each other share words.
  const unit = isHalf(out.dtype) ? 2 : 1
  const step = unit * Math.max(1, Math.floor(Math.min(PIECE, gpu.info.maxBinding) / rowBytes / unit))
  for (let row = 0; row < rows; row += step) {
    const some = Math.min(step, rows - row)
    const bytes = await folder.checkpoint.readRange(name, (first + row) * rowBytes, (first + row + some) * rowBytes)
    const raw = gpu.uploadBytes(bytes)
    discard(bytes)
    convert(gpu, raw, dtype, out, { rows: some, cols, row0: row, totalRows: room, transposed, bad })
    raw.dispose()
    await gpu.pace()
  }
  return out
}
