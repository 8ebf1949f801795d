/** Opens a model folder: its config, its weights, the other files that an export copies, and whether it is quantized already. */
import { WorkbenchError } from '../errors.ts'
import { type Files, readRange } from './bytes.ts'
import { type Packing, refuseMlx } from './formats/packing.ts'
import { type JsonObject, readJson } from './json.ts'
import { unwritable } from './names.ts'
import { notAModel } from './wrong.ts'
import { type Checkpoint, openCheckpoint } from './safetensors.ts'

/** config.json alone. */
export interface ConfigFile {
  name: string
  config: JsonObject
  /** The text of config.json, from which an export is written. */
  configText: string
}

export interface Folder extends ConfigFile {
  /** All files, by path inside the folder. */
  files: Files
  checkpoint: Checkpoint
  /** Set when the folder is a quantized checkpoint. */
  packing: Packing | null
  /** Files that an export copies byte for byte; their contents are in `files`. */
  otherFiles: { name: string; bytes: number }[]
  /** Files that an export leaves out because of their names, with the reason. */
  leftOut: { name: string; why: string }[]
  /** From the model card. */
  license: string | null
  /** Front matter of the model card. */
  front: string | null
  /** Set when there are no weights: the checkpoint only describes them. */
  blank?: true
}

/** Real ones take a few kB; a few hundred with the label lists of classifiers. */
const configRules = { cap: 4 << 20, code: 'config-invalid', hint: 'Download the file again.' } as const
/** A model card may be long, but its front matter stands at the start. */
const maxCardBytes = 64 << 10

/** Weight files; copied along, they would only double the size of an export. */
const weightFile = /\.(safetensors|bin|pth?|ckpt|gguf|ggml|h5|msgpack|onnx|onnx_data|ot|npz)$|\.index\.json$/i
const rewritten = new Set(['config.json', 'quantize_config.json', 'README.md', 'quantization_report.json'])
/** The model's own card is copied under this name, since a checkpoint has one that says how it was made. */
const baseCard = 'README.base.md'
/** Texts to calibrate and measure with, which may lie beside a model but are no part of it. */
const textFile = /(^|\/)(calibration|evaluation|train|valid|validation|test)\.(txt|jsonl?|[ct]sv|parquet)(\.(gz|zst))?$/i

/** The config of a model if that is the only file chosen, by its name or, under another one, by what it holds; else null. */
export async function openConfig(chosen: Files): Promise<ConfigFile | null> {
  const { files, parent } = strip(chosen)
  if (files.size !== 1) return null
  const [[path, file]] = files
  if (path === 'config.json') {
    const { config, configText } = await readConfig(files)
    return { name: parent ?? nameIn(config), config, configText }
  }
  if (!path.endsWith('.json')) return null
  // Whatever else it is, it is refused as that.
  const read = await readJson(file, path, configRules).catch(() => null)
  if (!read || !isConfig(read.value)) return null
  const named = /^config\b/.test(path) ? 'model' : path.slice(0, -'.json'.length)
  return { name: nameIn(read.value, named), config: read.value, configText: read.text }
}

const isConfig = ({ model_type: type, architectures, hidden_size: size, text_config: text }: JsonObject) =>
  typeof type === 'string' && (Array.isArray(architectures) || typeof size === 'number' || typeof text === 'object')

/** `name`: of the folder, if known; without it, the files were chosen one by one or share a parent folder. */
export async function openFolder(chosen: Files, name?: string): Promise<Folder> {
  const { files: visible, parent } = strip(chosen)
  const card = visible.get('README.md')
  // Of a checkpoint that was made here, README.md is no longer the base model's card.
  const files = card && !visible.has(baseCard) ? new Map([...visible, [baseCard, card]]) : visible
  if (!files.has('config.json')) throw await notAModel(files, name ?? parent)
  const { config, configText } = await readConfig(files)
  const separate = files.get('quantize_config.json')
  refuseMlx(config.quantization)
  // GPTQ's config may stand in config.json, in a file of its own, or in both.
  const configs = ['quantization_config', 'compression_config']
    .filter((field) => config[field] != null)
    .map((field) => ({ file: 'config.json', path: `${field}.`, value: config[field] }))
  if (separate) {
    const { value } = await readJson(separate, 'quantize_config.json', configRules)
    configs.push({ file: 'quantize_config.json', path: '', value })
  }
  // Most models are not quantized, and come without this.
  const packing = configs.length ? (await import('./formats/read.ts')).readPacking(configs) : null
  const checkpoint = await openCheckpoint(files)
  const front = await readFront(files)
  const unwanted = (name: string) => (textFile.test(name) ? 'it is a text, and no part of the model' : unwritable(name))
  const others = Array.from(files, ([name, { size }]) => ({ name, bytes: size, why: unwanted(name) }))
    .filter(({ name }) => !rewritten.has(name) && !weightFile.test(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const otherFiles = others.filter(({ why }) => why === null).map(({ name, bytes }) => ({ name, bytes }))
  const leftOut = others.flatMap(({ name, why }) => (why === null ? [] : [{ name, why }]))
  return {
    name: name ?? parent ?? nameIn(config),
    config,
    configText,
    files,
    checkpoint,
    packing,
    otherFiles,
    leftOut,
    front,
    license: licenseIn(front),
  }
}

/** config.json, parsed and as text. @throws WorkbenchError `file-missing`, `config-invalid` */
export async function readConfig(files: Files): Promise<{ config: JsonObject; configText: string }> {
  const file = files.get('config.json')
  if (!file) {
    throw new WorkbenchError(
      'file-missing',
      'There is no config.json.',
      'Choose a Hugging Face model: config.json, tokenizer.json and .safetensors files.',
    )
  }
  const { value, text } = await readJson(file, 'config.json', configRules)
  return { config: value, configText: text }
}

function nameIn({ _name_or_path: origin }: JsonObject, otherwise = 'model'): string {
  const name = typeof origin === 'string' ? origin.split(/[/\\]/).findLast(Boolean) : otherwise
  // It becomes the name of a folder where results are saved.
  return name && unwritable(name) === null ? name : 'model'
}

/** Leaves out hidden files and makes paths relative to the model's folder. */
function strip(chosen: Files): { files: Files; parent: string | null } {
  const paths = Array.from(chosen, ([path, file]) => ({ parts: path.split('/').filter((part) => part && part !== '.'), file }))
  let visible = paths.filter(({ parts }) => parts.length && !parts.some((part) => part.startsWith('.')))
  let parent: string | null = null
  while (visible.length && visible.every(({ parts }) => parts.length > 1 && parts[0] === visible[0].parts[0])) {
    parent = visible[0].parts[0]
    visible = visible.map(({ parts, file }) => ({ parts: parts.slice(1), file }))
  }
  return { files: new Map(visible.map(({ parts, file }) => [parts.join('/'), file])), parent }
}

/** The front matter of README.md. */
async function readFront(files: Files): Promise<string | null> {
  const card = files.get('README.md')
  if (!card) return null
  const text = new TextDecoder().decode(await readRange(card, 0, Math.min(card.size, maxCardBytes), 'README.md'))
  return /^---\r?\n([\s\S]*?)\r?\n---/.exec(text)?.[1] ?? null
}

function licenseIn(front: string | null): string | null {
  const value = /^license:(.*)$/m
    .exec(front ?? '')?.[1]
    .trim()
    .replace(/^(["'])(.*)\1$/, '$2')
  return value || null
}
