/** The named special tokens of a tokenizer, as transformers collects them from three files for a chat template. */
import { WorkbenchError } from '../errors.ts'
import { isObject, type JsonObject } from '../io/json.ts'

const standard = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']

const endOfText = '<|endoftext|>'
/** Default tokens of the tokenizer classes of transformers 5.24; other classes have none. */
const defaults: Record<string, Record<string, string>> = {
  Gemma: { bos_token: '<bos>', eos_token: '<eos>', unk_token: '<unk>', pad_token: '<pad>', mask_token: '<mask>' },
  Qwen2: { eos_token: endOfText, unk_token: endOfText, pad_token: endOfText },
  GPT2: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText },
  GPTNeoX: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText, pad_token: '<|padding|>' },
  CodeLlama: {
    bos_token: '<s>',
    eos_token: '</s>',
    unk_token: '<unk>',
    prefix_token: '▁<PRE>',
    middle_token: '▁<MID>',
    suffix_token: '▁<SUF>',
    eot_token: '▁<EOT>',
    fill_token: '<FILL_ME>',
  },
}
/** The tokenizer class of a model type, when the configuration names none. */
const classOfModel: Record<string, string> = {
  qwen2: 'Qwen2',
  qwen3: 'Qwen2',
  gemma: 'Gemma',
  gemma2: 'Gemma',
  gemma3_text: 'Gemma',
  opt: 'GPT2',
}

export interface TokenFiles {
  /** tokenizer_config.json; empty when there is none. */
  config: JsonObject
  /** special_tokens_map.json; used only when the configuration lists no added tokens, and then first. */
  map: JsonObject | null
  /** The padding token of tokenizer.json. */
  tokenizer: JsonObject | null
  /** `model_type` of config.json. */
  modelType: unknown
}

/**
 * Tokens by name: the seven standard ones, and every other `…_token` in the files.
 * @throws WorkbenchError `tokenizer-invalid` for a token that is neither a text nor an added token
 */
export function specialTokens({ config, map, tokenizer, modelType }: TokenFiles): Map<string, string> {
  const found = new Map<string, string | null>()
  gather(config, 'tokenizer_config.json', found)
  if (map && config.added_tokens_decoder === undefined) gather(map, 'special_tokens_map.json', found)
  const padding = isObject(tokenizer?.padding) ? tokenizer.padding.pad_token : undefined
  if (typeof padding === 'string' && !found.has('pad_token')) found.set('pad_token', padding)
  const named = typeof config.tokenizer_class === 'string' ? config.tokenizer_class.replace(/Fast$/, '') : undefined
  const general = named === 'PreTrainedTokenizer' && modelType === 'qwen2'
  const kind = named === undefined || general ? (classOfModel[String(modelType)] ?? '') : named.replace(/Tokenizer$/, '')
  const own = Object.hasOwn(defaults, kind) ? defaults[kind] : {}
  for (const [name, token] of Object.entries(own)) if (!found.has(name)) found.set(name, token)
  return new Map([...found].filter((entry): entry is [string, string] => entry[1] !== null))
}

/** A name with null means no token, not the default. */
function gather(file: JsonObject, name: string, found: Map<string, string | null>): void {
  const isMap = name === 'special_tokens_map.json'
  for (const [key, value] of Object.entries(file)) {
    if (key === 'extra_special_tokens') {
      if (!isObject(value)) continue
      for (const [extra, token] of Object.entries(value)) {
        const text = tokenOf(token, isMap)
        if (text === undefined) throw wrong(name, extra, token)
        found.set(extra, text)
      }
    } else if (standard.includes(key)) {
      const text = tokenOf(value, isMap)
      if (text === undefined) throw wrong(name, key, value)
      found.set(key, text)
    } else if (key.endsWith('_token')) {
      const text = tokenOf(value, isMap)
      if (typeof text === 'string') found.set(key, text)
    }
  }
}

/** A token as a string or as an added token; the configuration marks added tokens as such. */
function tokenOf(value: unknown, bare: boolean): string | null | undefined {
  if (typeof value === 'string' || value === null) return value
  if (!isObject(value) || typeof value.content !== 'string') return undefined
  return bare || value.__type === 'AddedToken' ? value.content : undefined
}

function wrong(file: string, name: string, value: unknown): WorkbenchError {
  return new WorkbenchError(
    'tokenizer-invalid',
    `${file} gives ${JSON.stringify(value).slice(0, 80)} as ${name}, which is neither a text nor an added token.`,
    'Turn the chat template off, or correct that entry.',
  )
}
