/** The list of model families. */
import { WorkbenchError } from '../errors.ts'
import { isObject } from '../io/json.ts'
import type { Family, Model } from './family.ts'
import { bloom } from './bloom.ts'
import { falcon } from './falcon.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { gemma4 } from './gemma4.ts'
import { granite, granite4 } from './granite.ts'
import { refuseExperts } from './experts.ts'
import { llama } from './llama.ts'
import { ministral3 } from './ministral3.ts'
import { mistral } from './mistral.ts'
import { asPart, nestedText, nestedTypes } from './nested.ts'
import { olmo2 } from './olmo2.ts'
import { olmo3 } from './olmo3.ts'
import { opt } from './opt.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { qwen35 } from './qwen3_5.ts'
import { smollm3 } from './smollm3.ts'

export const families: Family[] = [
  llama,
  mistral,
  opt,
  bloom,
  falcon,
  qwen2,
  qwen3,
  qwen35,
  gemma2,
  gemma3,
  gemma4,
  ministral3,
  smollm3,
  olmo2,
  olmo3,
  phi3,
  granite,
  granite4,
]

/** Fields that say: there is more to this model than one text decoder. */
const senses = ['vision_config', 'visual', 'mm_vision_tower', 'audio_config']

/** A model as config.json describes it. */
export interface ReadModel {
  family: Family
  model: Model
  /** `model_type` of the repository that the model is a part of; null: it is all that there is. */
  partOf: string | null
}

/**
 * The family that a config.json asks for, and the model it describes; needs no weights.
 * @throws WorkbenchError `config-invalid`, `config-unsupported`
 */
export function readModel(config: Record<string, unknown>): ReadModel {
  const nested = nestedText(config)
  const own = nested?.text ?? config
  refuseExperts(own, knownTypes())
  // Also where the repository is of a type of its own.
  if (isObject(config.text_config)) refuseExperts(config.text_config, knownTypes())
  const type = own.model_type
  const sense = senses.find((field) => own[field] != null)
  if (sense) {
    throw new WorkbenchError(
      'config-unsupported',
      `config.json describes a model with vision or audio parts: it has ${sense}.`,
      `Only text models are supported, alone or in repositories of these types: ${nestedTypes.join(', ')}. ${knownTypes()}`,
    )
  }
  const family = families.find((one) => typeof type === 'string' && one.modelTypes.includes(type))
  if (!family) {
    throw new WorkbenchError(
      'config-unsupported',
      type === undefined
        ? 'config.json names no model_type.'
        : `The workbench does not support models of the type ${JSON.stringify(type)}.`,
      knownTypes(),
    )
  }
  const model = family.read(own)
  return nested ? { family, model: asPart(model, nested), partOf: nested.repository } : { family, model, partOf: null }
}

function knownTypes(): string {
  return `Supported model types: ${families.flatMap((one) => one.modelTypes).join(', ')}.`
}
