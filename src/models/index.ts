/** The one place where model families are registered. */
import { WorkbenchError } from '../errors.ts'
import type { Family, Model } from './family.ts'
import { llama } from './llama.ts'
import { mistral } from './mistral.ts'
import { qwen2 } from './qwen2.ts'
import { qwen3 } from './qwen3.ts'

export const families: Family[] = [llama, mistral, qwen2, qwen3]

/** The family that a config.json asks for, and the model it describes. */
export function readModel(config: Record<string, unknown>): { family: Family; model: Model } {
  const type = config.model_type
  const family = families.find((one) => typeof type === 'string' && one.modelTypes.includes(type))
  if (!family) {
    const known = families.flatMap((one) => one.modelTypes).join(', ')
    throw new WorkbenchError(
      'config-unsupported',
      type === undefined ? 'config.json names no model_type.' : `The workbench does not know models of the type ${JSON.stringify(type)}.`,
      `It knows these model types: ${known}.`,
    )
  }
  return { family, model: family.read(config) }
}
