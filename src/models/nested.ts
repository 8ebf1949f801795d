/**
 * Repositories that hold more than a text model. config.json describes the text model under `text_config`, and its
 * tensors have longer prefixes; encoders of images and whatever else there is play no part and stay as they are.
 */
import { isObject, type JsonObject } from '../io/json.ts'
import { invalid } from './config.ts'
import type { Model } from './family.ts'

/**
 * Types of repositories that compute text as its model alone does, the type of that model where `text_config` names none, and
 * whether its head is the embedding where nothing is said (in most).
 */
const repositories: Record<string, { text: string; tied?: boolean }> = {
  mistral3: { text: 'mistral' },
  gemma3: { text: 'gemma3_text' },
  gemma4: { text: 'gemma4_text' },
  gemma4_unified: { text: 'gemma4_unified_text' },
  qwen3_5: { text: 'qwen3_5_text', tied: false },
  llava: { text: 'llama' },
  llava_next: { text: 'llama' },
  internvl: { text: 'qwen2' },
  idefics3: { text: 'llama' },
  smolvlm: { text: 'llama' },
}

export const nestedTypes = Object.keys(repositories)

export interface Nested {
  /** `model_type` of the repository. */
  repository: string
  /** What config.json says of the text model. */
  text: JsonObject
  tied: unknown
}

/** The text model in such a repository; null for others. @throws WorkbenchError `config-invalid` */
export function nestedText(config: JsonObject): Nested | null {
  const { model_type: repository, text_config: text } = config
  if (typeof repository !== 'string' || !Object.hasOwn(repositories, repository)) return null
  if (!isObject(text)) throw invalid(`${repository} models describe their text model in text_config, which is missing or no object`)
  const { text: usual, tied: assumed = true } = repositories[repository]
  // transformers 5 takes the outer value.
  const tied = config.tie_word_embeddings ?? text.tie_word_embeddings ?? assumed
  return { repository, text: { model_type: usual, ...text }, tied }
}

/** The same model with the names that its tensors have there, those that most repositories have first. */
export function asPart(model: Model, { tied }: Nested): Model {
  return {
    ...model,
    shape: { ...model.shape, tied: tied === true },
    prefixes: ['language_model.model.', 'model.language_model.', 'model.text_model.'],
    head: 'language_model.lm_head.weight',
    otherHeads: ['lm_head.weight'],
    // Formats that write a graph write that of a whole repository.
    decoder: undefined,
  }
}
