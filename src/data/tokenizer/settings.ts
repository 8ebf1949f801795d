/**
 * Changes that other files make to a tokenizer.json, as in AutoTokenizer of transformers 5.24: tokens that only they define, and a
 * leading space. When there is a tokenizer.json, add_bos_token and add_eos_token have no effect there, and neither here.
 */
import { isObject, type JsonObject } from '../../io/json.ts'
import { type AddedToken, type AddedTokens, readAddedToken } from './added.ts'
import { invalid, shown, unsupported } from './fields.ts'

export interface SideFiles {
  /** tokenizer_config.json */
  config: JsonObject
  /** special_tokens_map.json */
  map: JsonObject
  /** added_tokens.json */
  added: JsonObject
}

const configName = 'tokenizer_config.json'
const roles = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']

/** @throws WorkbenchError `tokenizer-invalid` for contradictions to the tokenizer.json */
export function addSideTokens(tokens: AddedTokens, { config, map, added }: SideFiles): void {
  if (config.split_special_tokens === true) throw unsupported('it sets split_special_tokens', configName)
  const listed = Object.hasOwn(config, 'added_tokens_decoder')
  if (listed) addListed(tokens, config.added_tokens_decoder)
  else addLegacy(tokens, added, { ...config, ...map })
  addNamed(tokens, listed ? config : { ...config, ...map })
}

/** Tokens by id; for existing ones, how they are matched. */
function addListed(tokens: AddedTokens, decoder: unknown): void {
  if (!isObject(decoder)) throw invalid(`the added_tokens_decoder of ${configName} is ${shown(decoder)}`)
  const entries = Object.entries(decoder)
    .map(([id, entry]) => {
      if (!isObject(entry)) throw invalid(`the added_tokens_decoder of ${configName} has ${shown(entry)} for ${shown(id)}`)
      return { id: Number(id), token: readAddedToken(entry, `the added_tokens_decoder of ${configName}`) }
    })
    .sort((a, b) => a.id - b.id)
  const changed = entries.filter(({ token }) => !isSame(token, tokens.get(token.content)?.token))
  const ids = changed.map(({ id }) => id)
  const values = changed.map(({ token }) => token)
  tokens.add(values, ids, `the added_tokens_decoder of ${configName}`)
}

const flags = ['single_word', 'lstrip', 'rstrip', 'normalized', 'special'] as const

function isSame(a: AddedToken, b: AddedToken | undefined): boolean {
  return b !== undefined && flags.every((flag) => a[flag] === b[flag])
}

/** added_tokens.json, in older models. */
function addLegacy(tokens: AddedTokens, added: JsonObject, named: JsonObject): void {
  const special = new Set(namedTokens(named).map(({ content }) => content))
  const fresh = Object.entries(added)
    .map(([content, id]) => ({ content, id: Number(id) }))
    .filter(({ content }) => !tokens.get(content))
    .sort((a, b) => a.id - b.id)
  const values = fresh.map(({ content }) => plainToken(content, special.has(content)))
  tokens.add(
    values,
    fresh.map(({ id }) => id),
    'added_tokens.json',
  )
}

function addNamed(tokens: AddedTokens, named: JsonObject): void {
  const fresh = namedTokens(named).filter(
    ({ content }, i, all) => !tokens.get(content) && all.findIndex((one) => one.content === content) === i,
  )
  tokens.add(
    fresh,
    fresh.map(() => undefined),
    configName,
  )
}

/** The tokens with a role, in the order in which they are added. */
function namedTokens(named: JsonObject): AddedToken[] {
  const extra = tokensIn(named.extra_special_tokens)
  const more = extra.length ? extra : tokensIn(named.additional_special_tokens)
  // A model-specific role, such as image_token, counts when it is a string.
  const own = Object.keys(named).filter((key) => key.endsWith('_token') && !roles.includes(key) && typeof named[key] === 'string')
  const values = [...roles.map((role) => named[role]), ...own.map((key) => named[key]), ...more]
  return values.filter((value) => value !== null && value !== undefined && typeof value !== 'boolean').map(namedToken)
}

/** The tokens of a list, or of an object. */
function tokensIn(value: unknown): unknown[] {
  return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : []
}

function namedToken(value: unknown): AddedToken {
  if (typeof value === 'string') return plainToken(value, true)
  if (!isObject(value)) throw invalid(`an additional special token is ${shown(value)}`)
  return { ...readAddedToken(value, 'an additional special token'), special: true }
}

function plainToken(content: string, special: boolean): AddedToken {
  return { content, single_word: false, lstrip: false, rstrip: false, normalized: !special, special }
}

/** Classes that add a leading space by add_prefix_space instead of the file's setting. */
const spaced = ['GPT2Tokenizer', 'Qwen2Tokenizer']

/**
 * The pre-tokenizer with the leading space of tokenizer_config.json. @throws WorkbenchError `tokenizer-invalid` for a contradiction that
 * cannot be resolved
 */
export function withPrefixSpace(definition: JsonObject, { config }: SideFiles): JsonObject {
  const asked = config.add_prefix_space
  const type = String(config.tokenizer_class ?? '').replace(/Fast$/, '')
  if (typeof asked !== 'boolean') return definition
  const text = JSON.stringify([definition.normalizer ?? null, definition.pre_tokenizer ?? null])
  if (spaced.includes(type) && text.includes('"type":"ByteLevel"')) {
    return { ...definition, pre_tokenizer: changed(definition.pre_tokenizer, 'ByteLevel', { add_prefix_space: asked }) }
  }
  if (type !== 'LlamaTokenizer' || text.includes('"type":"ByteLevel"')) return definition
  const adds = text.includes('"type":"Prepend"') || /"prepend_scheme":"(first|always)"/.test(text)
  if (adds === asked) return definition
  throw unsupported(`add_prefix_space is ${asked}, and tokenizer.json ${adds ? 'adds' : 'does not add'} one`, configName)
}

/** Changes fields of a component of a given type, alone or in a Sequence. */
function changed(component: unknown, type: string, fields: JsonObject): unknown {
  if (!isObject(component)) return component
  if (component.type === type) return { ...component, ...fields }
  if (!Array.isArray(component.pretokenizers)) return component
  return { ...component, pretokenizers: component.pretokenizers.map((step) => changed(step, type, fields)) }
}

/** Normalizers and pre-tokenizers with which classes of transformers 5 replace the file's. */
const ownSteps: Record<string, string> = {
  GPT2Tokenizer: '|ByteLevel',
  LlamaTokenizer: '|Metaspace',
  Qwen2Tokenizer: 'NFC|Split,ByteLevel',
  GemmaTokenizer: 'Replace|Split',
}

/** A remark when transformers 5 would not use the steps of tokenizer.json, so that its ids may differ. @param modelType of config.json */
export function remarkOn(definition: JsonObject, { config }: SideFiles, modelType: unknown): { message: string; hint: string } | null {
  const name = String(config.tokenizer_class ?? '')
  const type = name.replace(/Fast$/, '')
  const own = Object.hasOwn(ownSteps, type) ? ownSteps[type] : null
  const steps = `${typesOf(definition.normalizer)}|${typesOf(definition.pre_tokenizer)}`
  if (own === null || own === steps) return null
  // transformers knows that these two name the wrong class, and uses the file.
  if (type === 'LlamaTokenizer' && (modelType === 'mistral' || steps.includes('ByteLevel'))) return null
  return {
    message: `${configName} names the class ${name}, for which transformers 5 replaces the steps of tokenizer.json by its own. The workbench uses tokenizer.json, so some ids may differ from those of transformers.`,
    hint: 'To compare with transformers, load the tokenizer there as PreTrainedTokenizerFast.',
  }
}

function typesOf(component: unknown): string {
  if (!isObject(component)) return ''
  const steps = component.normalizers ?? component.pretokenizers
  return Array.isArray(steps) ? steps.map(typesOf).join() : String(component.type)
}
