/** A model from its config.json alone, with the tensors that its checkpoint would have; for dry runs. */
import { WorkbenchError } from '../errors.ts'
import { agreed } from '../io/facts.ts'
import type { ConfigFile } from '../io/folder.ts'
import { isObject } from '../io/json.ts'
import { keptOf, linearsOf } from './family.ts'
import type { Dtype, TensorEntry } from '../io/safetensors.ts'
import { readModel } from './index.ts'
import { type OpenModel, openModel } from './open.ts'

const dtypes: Record<string, Dtype> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }

/** The same model with zeros for its weights; `onRead` is told of each piece that is read. */
export function hollow(opened: OpenModel, onRead: (bytes: number) => void): OpenModel {
  const { folder } = opened
  // In a buffer of its own, as of any checkpoint: the loader gives its memory back.
  const readRange = async (_: string, begin: number, end: number) => {
    onRead(end - begin)
    return new Uint8Array(end - begin)
  }
  const read = (name: string) => readRange(name, 0, folder.checkpoint.tensors.get(name)!.bytes)
  return { ...opened, folder: { ...folder, checkpoint: { ...folder.checkpoint, read, readRange, ahead: () => {} } } }
}

/**
 * The model that a config describes, as transformers would save it: weights in the dtype that the config names, F16 when it
 * names none. There is nothing to read in it.
 * @throws WorkbenchError `config-invalid`, `config-unsupported`
 */
export function blankModel({ name, config, configText }: ConfigFile): OpenModel {
  const { model } = readModel(config)
  const dtypeOf = (one: unknown) => (isObject(one) ? agreed(['dtype', 'torch_dtype'].map((where) => ({ where, says: one[where] }))) : null)
  const given = dtypeOf(config) ?? dtypeOf(config.text_config)
  const dtype = given == null ? 'F16' : typeof given === 'string' ? dtypes[given] : undefined
  if (!dtype) {
    const hint = `Supported are ${Object.keys(dtypes).join(', ')}.`
    throw new WorkbenchError('config-unsupported', `config.json: torch_dtype is ${JSON.stringify(given)}.`, hint)
  }
  if (config.quantization_config != null) {
    throw new WorkbenchError(
      'config-unsupported',
      'config.json describes a quantized model.',
      'Only full-precision models can be planned without their weights.',
    )
  }
  const { shape } = model
  const [prefix] = model.prefixes
  const tensors = new Map<string, TensorEntry>()
  let offset = 0
  const put = (tensor: string, extents: readonly number[]) => {
    const bytes = extents.reduce((a, b) => a * b, dtype === 'F32' ? 4 : 2)
    tensors.set(tensor, { name: tensor, dtype, shape: extents, bytes, file: 'no file', offset })
    offset += bytes
  }
  put(`${prefix}${model.embedding}`, [shape.vocab, shape.embedWidth])
  if (!shape.tied) put(model.head, [shape.vocab, shape.embedWidth])
  for (const { name: tensor, shape: extents } of model.outer) put(`${prefix}${tensor}`, extents)
  if (model.perLayer) put(`${prefix}${model.perLayer.table}`, [model.perLayer.vocab, model.perLayer.blocks * model.perLayer.width])
  for (let k = 0; k < shape.blocks; k++) {
    const path = `${prefix}${model.blockPath(k)}`
    const layout = model.layouts[k]
    for (const { name: vector, length } of layout.vectors) put(`${path}.${vector}`, [length])
    for (const { name: kept, shape: extents } of keptOf(layout)) put(`${path}.${kept}`, extents)
    for (const { name: linear, q, p } of linearsOf(layout)) put(`${path}.${linear}.weight`, [q, p])
  }
  const nothing = async (): Promise<never> => {
    throw new Error(`${name} has no weights.`)
  }
  const checkpoint = { tensors, bytes: offset, read: nothing, readRange: nothing, ahead() {} }
  return openModel({
    name,
    config,
    configText,
    files: new Map(),
    checkpoint,
    packing: null,
    otherFiles: [],
    leftOut: [],
    front: null,
    license: null,
    blank: true,
  })
}
