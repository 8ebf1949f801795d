/** What was chosen in place of a model that can be read, told by names and first bytes: one sentence for each kind. */
import { WorkbenchError } from '../errors.ts'
import { type Bytes, type Files, readRange } from './bytes.ts'
import { headBytes, kindOf } from './kinds.ts'

const original =
  'Open the model that it was made from instead: a folder or a repository of the Hub with config.json and .safetensors files.'
const whole =
  'Choose the whole folder of a Hugging Face model: config.json, tokenizer.json and all .safetensors files; in the page drop it, or pick it with the button.'

/** What a browser leaves out without a word. */
export const links =
  'Symbolic links, as in a snapshot of the Hub cache, do not reach a page: copy the folder with cp -rL first, or use the command line.'

/** Weights in other forms, the ones first that can be converted without loss. */
const weights: { pattern: RegExp; what: string; hint: string }[] = [
  {
    pattern: /\.(bin|pth?|ckpt|pkl)$/i,
    what: 'a pickle of PyTorch, which is a program and not only data',
    hint: 'Convert the model first: load it with transformers and call save_pretrained(folder, safe_serialization=True).',
  },
  { pattern: /\.(gguf|ggml)$/i, what: 'GGUF, the format of llama.cpp', hint: original },
  { pattern: /\.onnx(_data)?$/i, what: 'ONNX, an exported graph', hint: original },
  { pattern: /\.(tflite|mlmodel|mlpackage|engine|pte)$/i, what: 'a model compiled for one runtime', hint: original },
  { pattern: /\.(h5|keras|msgpack|npz|ot)$/i, what: 'weights of another framework (TensorFlow, Flax)', hint: original },
]

/** The first of these files that holds weights in a form that is not read. */
export function otherWeights(paths: Iterable<string>): { path: string; what: string; hint: string } | null {
  const all = [...paths].sort()
  for (const { pattern, what, hint } of weights) {
    const path = all.find((one) => pattern.test(one))
    if (path) return { path, what, hint }
  }
  return null
}

const shardName = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/

/** Which of how many shards a file is by its name. */
function shardOf(path: string): { base: string; index: number; count: number } | null {
  const [, base, index, count] = shardName.exec(path) ?? []
  return base === undefined ? null : { base, index: Number(index), count: Number(count) }
}

/** The error for shards of which the names say that there are more; null when all are there. */
export function missingShards(paths: readonly string[]): WorkbenchError | null {
  for (const path of paths) {
    const shard = shardOf(path)
    if (!shard || shard.count > 10_000) continue
    const name = (index: number) => `${shard.base}-${String(index).padStart(5, '0')}-of-${String(shard.count).padStart(5, '0')}.safetensors`
    const missing = Array.from({ length: shard.count }, (_, i) => i + 1).filter((index) => !paths.includes(name(index)))
    if (!missing.length) continue
    const others = missing.length > 1 ? ` and ${missing.length - 1} more are` : ' is'
    return new WorkbenchError(
      'file-missing',
      `The folder has ${shard.count - missing.length} of the ${shard.count} shards that the name ${path} tells of: ${name(missing[0])}${others} missing.`,
      'Add the missing shards to the folder, and model.safetensors.index.json if there is one.',
    )
  }
  return null
}

/** The error for files among which there is no config.json. `name`: of the folder that they came in; null for loose files. */
export async function notAModel(files: Files, name: string | null): Promise<WorkbenchError> {
  const paths = [...files.keys()].sort()
  const error = (what: string, hint: string) => new WorkbenchError('file-missing', what, hint)
  const subject = name ? `The folder ${JSON.stringify(name)}` : 'The folder'
  if (!paths.length) return error(name ? `${subject} is empty, hidden files aside.` : 'There are no files here.', `${whole} ${links}`)
  const has = (path: string) => files.has(path)
  if (has('model_index.json')) return error(`${subject} holds a pipeline of diffusers (model_index.json), not a language model.`, whole)
  const models = paths.filter((path) => path.endsWith('/config.json')).map((path) => path.slice(0, -'/config.json'.length))
  if (models.length > 1) {
    const shown = `${models.slice(0, 5).join(', ')}${models.length > 5 ? ` and ${models.length - 5} more` : ''}`
    return error(`There are ${models.length} models here, one in each of the folders ${shown}.`, `Choose one of them: ${shown}.`)
  }
  if (models.length)
    return error(`The model is in the folder ${models[0]}; what was chosen has no config.json itself.`, `Choose the folder ${models[0]}.`)
  if (paths.length === 1 && (!name || name === paths[0])) return error(...(await loneFile(paths[0], files.get(paths[0])!)))
  if (has('adapter_config.json')) return error(`${subject} holds an adapter (adapter_config.json), not a model.`, adapterHint)
  if (has('params.json'))
    return error(
      `${subject} holds a model in the layout of its makers (params.json), not in that of transformers.`,
      'Choose the edition for transformers, with config.json and .safetensors files.',
    )
  const shard = paths.find((path) => path.endsWith('.safetensors'))
  const other = shard ? null : otherWeights(paths)
  if (shard) return error(`${subject} has weights (${shard}), but no config.json, which says what model they belong to.`, whole)
  if (other) return error(`${subject} has no config.json, and its weights, ${other.path}, are ${other.what}.`, other.hint)
  if (has('tokenizer.json') || has('tokenizer_config.json'))
    return error(`${subject} holds a tokenizer alone: no config.json and no weights.`, whole)
  const some = paths.slice(0, 3).join(', ') + (paths.length > 3 ? ` and ${paths.length - 3} more` : '')
  return error(`${subject} holds no model: no config.json and no weights among its files (${some}).`, whole)
}

const adapterHint =
  'Merge it into its base model first (PEFT: merge_and_unload, then save_pretrained), and choose the folder of the result.'

/** What to say of a file that was chosen by itself, and what to do. */
async function loneFile(path: string, file: Bytes): Promise<[what: string, hint: string]> {
  if (!file.size) return [`${path} is empty.`, whole]
  if (/^adapter_(model|config)\./.test(path)) return [`${path} belongs to an adapter, not to a whole model.`, adapterHint]
  const shard = shardOf(path)
  if (shard) return [`${path} is one shard of a model, number ${shard.index} of ${shard.count}; by itself it cannot be used.`, whole]
  if (path.endsWith('.safetensors')) return [`${path} holds weights alone: what model they belong to stands in config.json.`, whole]
  const other = otherWeights([path])
  if (other) return [`${path} is ${other.what}, which is not read.`, other.hint]
  const kind = kindOf(await readRange(file, 0, Math.min(headBytes, file.size), path))
  const renamed = /GGUF/.test(kind?.name ?? '') ? otherWeights(['.gguf']) : null
  if (renamed) return [`${path} is ${renamed.what}, which is not read.`, renamed.hint]
  if (kind) return [`${path} is ${kind.name}, not a model.`, /archive/.test(kind.name) ? `Unpack it first. ${whole}` : whole]
  if (path.endsWith('.json')) return [`${path} is one file of a model at most, and config.json is needed.`, whole]
  return [`${path} is text, not a model.`, `Texts are chosen in the plan, once a model is open. ${whole}`]
}
