/** Recognizes, by names and first bytes, what was chosen instead of a readable model, and says so in one sentence for each kind. */
import { WorkbenchError } from '../errors.ts'
import { type Bytes, type Files, readRange } from './bytes.ts'
import { headBytes, kindOf } from './kinds.ts'

const original = 'Open the model that it was made from instead: a folder or Hub repository with config.json and .safetensors files.'
const whole =
  'Choose the whole folder of a Hugging Face model: config.json, tokenizer.json and all .safetensors files. In the page, drop it or choose it with the button.'

/** A hint about files that a browser leaves out silently. */
export const links =
  'A page cannot read symbolic links, as in a snapshot of the Hub cache: copy the folder with cp -rL first, or use the command line.'

/** Weight files of other formats, first those that can be converted without loss. */
const weights: { pattern: RegExp; what: string; hint: string }[] = [
  {
    pattern: /\.(bin|pth?|ckpt|pkl)$/i,
    what: 'a PyTorch pickle',
    hint: 'Pickles are not opened, since loading one can run code. Convert the model: load it with transformers and call save_pretrained(folder, safe_serialization=True).',
  },
  { pattern: /\.(gguf|ggml)$/i, what: 'GGUF, the format of llama.cpp', hint: original },
  { pattern: /\.onnx(_data)?$/i, what: 'ONNX, an exported graph', hint: original },
  { pattern: /\.(tflite|mlmodel|mlpackage|engine|pte)$/i, what: 'a model compiled for one runtime', hint: original },
  { pattern: /\.(h5|keras|msgpack|npz|ot)$/i, what: 'weights of another framework (TensorFlow, Flax)', hint: original },
]

/** The first of these files that contains weights in a format that cannot be read. */
export function otherWeights(paths: Iterable<string>): { path: string; what: string; hint: string } | null {
  const all = [...paths].sort()
  for (const { pattern, what, hint } of weights) {
    const path = all.find((one) => pattern.test(one))
    if (path) return { path, what, hint }
  }
  return null
}

const shardName = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/

/** The number of a shard and of all shards, by a file's name. */
function shardOf(path: string): { base: string; index: number; count: number } | null {
  const [, base, index, count] = shardName.exec(path) ?? []
  return base === undefined ? null : { base, index: Number(index), count: Number(count) }
}

/** The error for missing shards, by the counts in the names of those present; null when all are there. */
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
      `The folder has ${shard.count - missing.length} of the ${shard.count} shards that the file name ${path} announces: ${name(missing[0])}${others} missing.`,
      'Add the missing shards to the folder, and model.safetensors.index.json if there is one.',
    )
  }
  return null
}

/** The error for chosen files without a config.json. `name`: of their folder; null for loose files. */
export async function notAModel(files: Files, name: string | null): Promise<WorkbenchError> {
  const paths = [...files.keys()].sort()
  const error = (what: string, hint: string) => new WorkbenchError('file-missing', what, hint)
  const subject = name ? `The folder ${JSON.stringify(name)}` : 'The folder'
  if (!paths.length) return error(name ? `${subject} is empty, or has only hidden files.` : 'No files were chosen.', `${whole} ${links}`)
  const has = (path: string) => files.has(path)
  if (has('model_index.json')) return error(`${subject} contains a diffusers pipeline (model_index.json), not a language model.`, whole)
  const models = paths.filter((path) => path.endsWith('/config.json')).map((path) => path.slice(0, -'/config.json'.length))
  if (models.length > 1) {
    const shown = `${models.slice(0, 5).join(', ')}${models.length > 5 ? ` and ${models.length - 5} more` : ''}`
    return error(`There are ${models.length} models in this folder, in the subfolders ${shown}.`, `Choose one of them: ${shown}.`)
  }
  if (models.length)
    return error(
      `The model is in the subfolder ${models[0]}; the chosen folder itself has no config.json.`,
      `Choose the folder ${models[0]}.`,
    )
  if (paths.length === 1 && (!name || name === paths[0])) return error(...(await loneFile(paths[0], files.get(paths[0])!)))
  if (has('adapter_config.json')) return error(`${subject} contains an adapter (adapter_config.json), not a model.`, adapterHint)
  if (has('params.json'))
    return error(
      `${subject} contains a model in its publisher’s own layout (params.json), not in that of transformers.`,
      'Choose the version for transformers, with config.json and .safetensors files.',
    )
  const shard = paths.find((path) => path.endsWith('.safetensors'))
  const other = shard ? null : otherWeights(paths)
  if (shard) return error(`${subject} has weights (${shard}), but no config.json, which says what model they belong to.`, whole)
  if (other) return error(`${subject} has no config.json, and its weights, ${other.path}, are ${other.what}.`, other.hint)
  if (has('tokenizer.json') || has('tokenizer_config.json'))
    return error(`${subject} contains only a tokenizer: no config.json and no weights.`, whole)
  const some = paths.slice(0, 3).join(', ') + (paths.length > 3 ? ` and ${paths.length - 3} more` : '')
  return error(`${subject} contains no model: no config.json and no weights among its files (${some}).`, whole)
}

const adapterHint =
  'Merge it into its base model first (PEFT: merge_and_unload, then save_pretrained), and choose the folder of the result.'

/** The sentence and the hint for a single file. */
async function loneFile(path: string, file: Bytes): Promise<[what: string, hint: string]> {
  if (!file.size) return [`${path} is empty.`, whole]
  if (/^adapter_(model|config)\./.test(path)) return [`${path} belongs to an adapter, not to a whole model.`, adapterHint]
  const shard = shardOf(path)
  if (shard) return [`${path} is one shard of a model, number ${shard.index} of ${shard.count}; by itself it cannot be used.`, whole]
  if (path.endsWith('.safetensors'))
    return [`${path} contains only weights; the model that they belong to is described in config.json.`, whole]
  const other = otherWeights([path])
  if (other) return [`${path} is ${other.what}, which cannot be read.`, other.hint]
  const kind = kindOf(await readRange(file, 0, Math.min(headBytes, file.size), path))
  const renamed = /GGUF/.test(kind?.name ?? '') ? otherWeights(['.gguf']) : null
  if (renamed) return [`${path} is ${renamed.what}, which cannot be read.`, renamed.hint]
  if (kind) return [`${path} is ${kind.name}, not a model.`, /archive/.test(kind.name) ? `Unpack it first. ${whole}` : whole]
  if (path.endsWith('.json')) return [`${path} is not a whole model: at least config.json is needed.`, whole]
  return [`${path} is text, not a model.`, `Choose texts in the plan, after a model is open. ${whole}`]
}
