/** Opens a model: maps tensors of a checkpoint to those that its family needs, and checks them. */
import { WorkbenchError } from '../errors.ts'
import type { StoredDType } from '../gpu/ops.ts'
import type { Folder } from '../io/folder.ts'
import type { Vocabulary } from '../io/formats/index.ts'
import { contradiction } from '../io/facts.ts'
import { foreignLayout } from '../io/formats/foreign.ts'
import { readable } from '../io/formats/packing.ts'
import { type Family, keptOf, linearsOf, type Model } from './family.ts'
import { readModel } from './index.ts'
import { modulesBeside, type OpenRemark, remarksOn } from './remarks.ts'

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
