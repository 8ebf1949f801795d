/** The list of model families. */
import { WorkbenchError } from '../errors.ts'
import type { Family, Model } from './family.ts'
import { bloom } from './bloom.ts'
import { falcon } from './falcon.ts'
import { gemma2 } from './gemma2.ts'
import { gemma3 } from './gemma3.ts'
import { granite } from './granite.ts'
import { llama } from './llama.ts'
import { ministral3 } from './ministral3.ts'
import { mistral } from './mistral.ts'
import { olmo2 } from './olmo2.ts'
import { olmo3 } from './olmo3.ts'
import { opt } from './opt.ts'
import { phi3 } from './phi3.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'
import { smollm3 } from './smollm3.ts'

export const families: Family[] = [
  llama,
  mistral,
  opt,
  bloom,
  falcon,
  qwen2,
  qwen3,
  gemma2,
  gemma3,
  ministral3,
  smollm3,
  olmo2,
  olmo3,
  phi3,
  granite,
]

/** Fields that show that a model is more than one dense text decoder. */
const foreign = [
  {
    fields: ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts'],
    what: 'a mixture of experts',
    hint: 'Only dense models are supported.',
  },
  {
    fields: ['vision_config', 'visual', 'mm_vision_tower', 'audio_config'],
    what: 'a model with vision or audio parts',
    hint: 'Only text models are supported.',
  },
]

/**
 * The family that a config.json asks for, and the model it describes; needs no weights.
 * @throws WorkbenchError `config-invalid`, `config-unsupported`
 */
export function readModel(config: Record<string, unknown>): { family: Family; model: Model } {
  const type = config.model_type
  for (const { fields, what, hint } of foreign) {
    const field = fields.find((one) => config[one] != null && config[one] !== 0)
    if (field) throw new WorkbenchError('config-unsupported', `config.json describes ${what}: it has ${field}.`, `${hint} ${knownTypes()}`)
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
  return { family, model: family.read(config) }
}

function knownTypes(): string {
  return `Supported model types: ${families.flatMap((one) => one.modelTypes).join(', ')}.`
}
