/** A tokenizer as formats hold it that need no other file: its tables, its named tokens and its chat template. */
import { WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import type { Vocabulary } from '../io/formats/index.ts'
import { isObject } from '../io/json.ts'
import { chatTemplateSource } from './chat.ts'
import { specialTokens } from './special.ts'
import { readBeside, type TextTokenizer } from './tokenizer.ts'

export { loadChatTemplate } from './chat.ts'

const names = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask']

/** A chat template or a list of special tokens that cannot be read is left out: the session has said so. */
export async function loadVocabulary(files: Files, { tables }: TextTokenizer): Promise<Vocabulary> {
  const config = await readBeside(files, 'config.json')
  return {
    ...tables,
    special: await leftOut<Map<string, string>>(new Map())(async () =>
      specialTokens({
        config: await readBeside(files, 'tokenizer_config.json'),
        map: files.has('special_tokens_map.json') ? await readBeside(files, 'special_tokens_map.json') : null,
        tokenizer: tables.definition,
        modelType: config.model_type,
      }),
    ),
    specialIds: new Map(
      names.flatMap((name) => {
        const id = idOf(config, name) ?? idOf(config.text_config, name)
        return id === undefined ? [] : [[`${name}_token`, id] as const]
      }),
    ),
    chatTemplate: await leftOut<string | null>(null)(() => chatTemplateSource(files)),
  }
}

/** The id that a config names for a purpose; of several that end a text the first. */
function idOf(config: unknown, name: string): number | undefined {
  const said = isObject(config) ? config[`${name}_token_id`] : undefined
  const id = Array.isArray(said) ? said[0] : said
  return typeof id === 'number' && Number.isInteger(id) && id >= 0 ? id : undefined
}

const leftOut =
  <T>(otherwise: T) =>
  async (read: () => Promise<T>): Promise<T> => {
    try {
      return await read()
    } catch (error) {
      if (error instanceof WorkbenchError) return otherwise
      throw error
    }
  }
