/** Ministral 3: Mistral with YaRN, and queries that grow with their position. */
import { z } from '../io/zod.ts'
import { agreed } from '../io/facts.ts'
import { isObject, type JsonObject } from '../io/json.ts'
import { invalid } from './config.ts'
import type { Family } from './family.ts'
import { llamaLike } from './llama.ts'
import type { RopeSettings } from './rope.ts'
import { readRope } from './rope-settings.ts'

/** What transformers takes where config.json holds no rotary settings at all. */
const usual = {
  rope_type: 'yarn',
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16384,
  beta_fast: 32,
  beta_slow: 1,
  mscale_all_dim: 1,
  mscale: 1,
  llama_4_scaling_beta: 0.1,
}

export const ministral3: Family = (() => {
  const family = llamaLike({
    id: 'ministral3',
    label: 'Ministral 3',
    modelTypes: ['ministral3'],
    defaults: { num_key_value_heads: 8, head_dim: 128, max_position_embeddings: 262144, rms_norm_eps: 1e-5 },
    window: 'all',
    ropes(given, spans, rules) {
      const settings: RopeSettings = { ...readRope(given, rules), queries: growth(given) }
      return spans.map(() => settings)
    },
  })
  const without = ({ rope_scaling: old, rope_parameters: parameters }: JsonObject) => old == null && parameters == null
  return { ...family, read: (given) => family.read(without(given) ? { ...given, rope_parameters: usual } : given) }
})()

/** How queries grow, from the objects that hold the rotary settings. */
function growth({ rope_scaling, rope_parameters, original_max_position_embeddings: outside }: JsonObject): RopeSettings['queries'] {
  const homes = Object.entries({ rope_scaling, rope_parameters }).filter(([, value]) => isObject(value)) as [string, JsonObject][]
  const read = (name: string, others: { where: string; says: unknown }[], shape: z.ZodType<number>) => {
    const says = agreed([...homes.map(([field, settings]) => ({ where: `${field}.${name}`, says: settings[name] })), ...others])
    const value = shape.safeParse(says)
    if (!value.success) throw invalid(`${homes[0]?.[0]}.${name}, by which queries grow, ${says == null ? 'is missing' : 'is wrong'}`)
    return value.data
  }
  return {
    beta: read('llama_4_scaling_beta', [], z.number().nonnegative()),
    original: read('original_max_position_embeddings', [{ where: 'original_max_position_embeddings', says: outside }], z.int().positive()),
  }
}
