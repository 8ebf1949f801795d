/** Loads weights to the GPU: maps tensors of a checkpoint to the model, checks them, and loads one block at a time. */
import { WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import { BLOCK } from '../gpu/head.ts'
import { type Panels, type StoredDType, addBias, convert, heldAs, unpack } from '../gpu/ops.ts'
import { isHalf, type Tensor } from '../gpu/tensor.ts'
import { discard } from '../io/bytes.ts'
import type { Folder } from '../io/folder.ts'
import type { Vocabulary } from '../io/formats/index.ts'
import { contradiction } from '../io/facts.ts'
import { foreignLayout } from '../io/formats/foreign.ts'
import { readable } from '../io/formats/packing.ts'
import { type BlockWeights, type Family, keptOf, linearsOf, type Model } from './family.ts'
import { FiniteCheck } from './finite.ts'
import { readModel } from './index.ts'
import { modulesBeside, type OpenRemark, remarksOn } from './remarks.ts'

/** Bytes read and uploaded at a time. */
const PIECE = 8 * 2 ** 20
const stored: readonly string[] = ['F32', 'F16', 'BF16'] satisfies StoredDType[]

export interface OpenModel {
  folder: Folder
  family: Family
  model: Model
  /** What this checkpoint puts before its block paths, e.g. `model.`. */
  prefix: string
  /** Tensor that serves as head: its own, or the embedding when tied; and the other way round. */
  embedding: string
  head: string
  /** dtype of most of the weights. */
  dtype: string
  parameters: number
  /** The tokenizer, for formats that store it; not there in dry runs. */
  vocabulary?: Vocabulary
  /** `model_type` of the repository that the model is a part of; null: it is all that there is. */
  partOf: string | null
  /** Modules beside the model in such a repository, e.g. `vision_tower`. */
  otherModules: string[]
  /** What is unusual about the weights but not wrong: tensors that nothing uses, a head that config.json does not expect. */
  remarks: OpenRemark[]
}

/**
 * Checks names, shapes and dtypes of everything that the forward pass needs; reads no weights.
 * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`; `config-unsupported` for weights in a layout that is not read;
 *   `config-invalid` where config and tensors contradict each other
 */
export function openModel(folder: Folder): OpenModel {
  const { family, model, partOf } = readModel(folder.config)
  const { tensors } = folder.checkpoint
  const has = (name: string) => tensors.has(name)
  const blockTensor = (prefix: string) => `${prefix}${model.blockPath(0)}.${model.layouts[0].vectors[0].name}`
  const prefix = model.prefixes.find((one) => has(blockTensor(one)))
  if (prefix === undefined) throw missing(blockTensor(model.prefixes[0]))
  const { embedding, head } = ends(folder, model, prefix)
  const opened: OpenModel = {
    folder,
    family,
    model,
    partOf,
    prefix,
    embedding,
    head,
    otherModules: [],
    dtype: '',
    parameters: 0,
    remarks: [],
  }
  const { used, sizes, packed } = expectAll(opened)
  if (folder.packing && !packed)
    throw contradiction(
      `quantization_config says that the model is quantized to ${folder.packing.bits} bits, but no linear in the weights is quantized`,
    )
  opened.dtype = [...sizes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? tensors.get(embedding)!.dtype
  opened.otherModules = modulesBeside(opened, used)
  opened.remarks = remarksOn(opened, used)
  return opened
}

/**
 * Checks every tensor of the model, and counts its parameters.
 * @returns names that the model uses, weights of linears by dtype, and how many linears are stored as codes
 */
function expectAll(opened: OpenModel): { used: Set<string>; sizes: Map<string, number>; packed: number } {
  const { folder, model, prefix, embedding, head } = opened
  const { vocab, embedWidth, blocks } = model.shape
  const used = new Set<string>()
  const sizes = new Map<string, number>()
  const expect = (name: string, extents: readonly number[]) => {
    if (!used.has(name)) opened.parameters += extents.reduce((a, b) => a * b, 1)
    used.add(name)
    return expectTensor(opened, name, extents)
  }
  for (const name of [embedding, head]) expect(name, [vocab, embedWidth])
  for (const { name, shape } of model.outer) expect(`${prefix}${name}`, shape)
  if (model.perLayer) expect(`${prefix}${model.perLayer.table}`, [model.perLayer.vocab, model.perLayer.blocks * model.perLayer.width])
  let packed = 0
  for (let k = 0; k < blocks; k++) {
    const layout = model.layouts[k]
    for (const { name, length } of layout.vectors) expect(blockName(opened, k, name), [length])
    for (const { name, shape } of keptOf(layout)) expect(blockName(opened, k, name), shape)
    for (const { name, q, p } of linearsOf(layout)) {
      const full = blockName(opened, k, name)
      if (storedPacked(folder, full)) {
        opened.parameters += q * p
        for (const tensor of folder.packing!.tensors(folder.checkpoint, full, { q, p })) used.add(tensor)
        packed++
        continue
      }
      const { dtype } = expect(`${full}.weight`, [q, p])
      sizes.set(dtype, (sizes.get(dtype) ?? 0) + q * p)
    }
  }
  return { used, sizes, packed }
}

/** The tensors that serve as embedding and as head. */
function ends(folder: Folder, model: Model, prefix: string): { embedding: string; head: string } {
  const { tensors } = folder.checkpoint
  const { embedding, shape, otherHeads = [] } = model
  const own = `${prefix}${embedding}`
  const stands = (name: string) => tensors.has(name) || foreignLayout(folder.checkpoint, name.replace(/\.weight$/, '')) !== null
  const head = [model.head, ...otherHeads].find(stands) ?? model.head
  for (const name of [own, head])
    refuseQuantized(folder, name.replace(/\.weight$/, ''), 'Only full-precision embedding and head can be read.')
  const has = { own: tensors.has(own), head: tensors.has(head) }
  if (!has.own && !(has.head && shape.tied)) throw missing(own)
  if (!has.head && !shape.tied) throw missing(head)
  return { embedding: has.own ? own : head, head: has.head ? head : own }
}

/** Whether a linear is stored as codes. @throws WorkbenchError for layouts that are not read, or for two at once */
function storedPacked(folder: Folder, module: string): boolean {
  const { checkpoint, packing } = folder
  if (!packing?.holds(checkpoint, module)) {
    refuseQuantized(folder, module)
    return false
  }
  if (checkpoint.tensors.has(`${module}.weight`))
    throw contradiction(`${module} is in the weights twice, as codes and as ${module}.weight`, 'The weights')
  return true
}

/** Refuses a module whose weights are quantized in a way that is not read there. */
function refuseQuantized({ checkpoint, packing }: Folder, module: string, why = ''): void {
  const found = foreignLayout(checkpoint, module)
  if (!found) return
  const what = `The weights are quantized already, as ${found.layout}: they contain ${found.tensor.name}`
  if (found.layout === 'packed codes' && !packing && !why)
    throw new WorkbenchError(
      'config-unsupported',
      `${what}, but neither config.json nor quantize_config.json says how.`,
      'Add the quantize_config.json that was published with these weights.',
    )
  throw new WorkbenchError('config-unsupported', `${what}.`, `${why} ${readable}`.trim())
}

/** Full name of a tensor or module of block k. */
export function blockName({ prefix, model }: OpenModel, k: number, name: string): string {
  return `${prefix}${model.blockPath(k)}.${name}`
}

function expectTensor({ folder }: OpenModel, name: string, shape: readonly number[]) {
  const entry = folder.checkpoint.tensors.get(name)
  if (!entry) throw missing(name)
  if (entry.shape.length !== shape.length || entry.shape.some((extent, i) => extent !== shape[i])) {
    throw new WorkbenchError(
      'tensor-mismatch',
      `${name} in ${entry.file} has the shape [${entry.shape.join(', ')}], but by config.json it should be [${shape.join(', ')}].`,
      'config.json and the weights belong to different models; take both from the same source.',
    )
  }
  if (!stored.includes(entry.dtype)) {
    throw new WorkbenchError(
      'tensor-mismatch',
      `${name} in ${entry.file} is stored as ${entry.dtype}.`,
      'Weights in F32, F16 and BF16 can be read.',
    )
  }
  return entry
}

function missing(name: string): WorkbenchError {
  return new WorkbenchError(
    'tensor-missing',
    `The weights have no tensor ${name}.`,
    'Check that all .safetensors files of the model are present and that config.json belongs to them.',
  )
}

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
  if (packing?.holds(checkpoint, full)) return unpack(gpu, await packing.read(checkpoint, full, { q, p }))
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
