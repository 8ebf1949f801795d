/** Rotary settings in all their spellings against what transformers makes of them (`e2e/oracle/make_ropes.py`), and what is refused. */
import { readFile } from 'node:fs/promises'
import { describe, expect, it, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { readModel } from './index.ts'
import { inverseFrequencies, type RopeSettings, ropeTables } from './rope.ts'
import { readRope } from './rope-settings.ts'

interface Case {
  name: string
  config: Record<string, unknown>
  length: number
  /** By kind of attention; "" where all blocks are alike. */
  angles: Record<string, { inverse: number[]; factor: number }>
}

const { cases } = JSON.parse(await readFile('src/models/fixtures/ropes.json', 'utf8')) as { cases: Case[] }
/** Settings of the blocks with this kind of attention. */
function settingsOf(config: Record<string, unknown>, kind: string): RopeSettings {
  const { architecture } = readModel(config).model
  if (!architecture) return readRope(config, { headDim: 16 })
  return architecture.ropes[architecture.spans.findIndex((span) => Number.isFinite(span) === (kind === 'sliding_attention'))]!
}

describe('as transformers reads and computes it', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', (_, { config, length, angles }) => {
    for (const [kind, { inverse, factor }] of Object.entries(angles)) {
      const settings = settingsOf(config, kind)
      const d = readModel(config).model.shape.headDim
      const own = inverseFrequencies(settings, d, length)
      expect(own).toHaveLength(inverse.length)
      // transformers computes in float32.
      expect(own).toBeClose(inverse, { relative: 1e-5 })
      // At position 0 the cosine is 1.
      expect(ropeTables(settings, d, length).keys[0]).toBeCloseTo(factor, 5)
    }
  })

  test('there is a case of every kind, and of every family that differs', () => {
    const kinds = new Set(cases.flatMap(({ config, angles }) => Object.keys(angles).map((kind) => settingsOf(config, kind).scaling.kind)))
    expect([...kinds].sort()).toEqual(['dynamic', 'linear', 'llama3', 'longrope', 'none', 'yarn'])
  })
})

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 96,
  vocab_size: 64,
  max_position_embeddings: 256,
}
const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 64 }
const long = { rope_type: 'longrope', short_factor: Array(8).fill(1), long_factor: Array(8).fill(2), original_max_position_embeddings: 64 }
const phi = { ...llama, model_type: 'phi3', original_max_position_embeddings: 64 }
const olmo = { ...llama, model_type: 'olmo3' }
const ministral = { ...llama, model_type: 'ministral3', num_key_value_heads: 4 }
const smollm = { ...llama, model_type: 'smollm3' }

describe('refused by name', () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['an unknown kind', { ...llama, rope_scaling: { type: 'ntk', factor: 2 } }, /rope_scaling\.type is "ntk"/],
    ['a kind that is an object', { ...llama, rope_scaling: { rope_type: {} } }, /rope_scaling\.rope_type is \{\}/],
    ['a kind by the name of a member of all objects', { ...llama, rope_scaling: { rope_type: 'toString' } }, /is "toString"/],
    ['no factor', { ...llama, rope_scaling: { type: 'dynamic' } }, /rope_scaling\.factor, which dynamic rope scaling needs, is missing/],
    ['a factor of 0', { ...llama, rope_parameters: { ...yarn, factor: 0 } }, /rope_parameters\.factor, which yarn .* is wrong/],
    ['a factor of words', { ...llama, rope_parameters: { ...yarn, factor: '4' } }, /rope_parameters\.factor/],
    ['a length of 0', { ...llama, rope_parameters: { ...yarn, original_max_position_embeddings: 0 } }, /original_max_position_embeddings/],
    ['rotations that are no number', { ...llama, rope_parameters: { ...yarn, beta_fast: 'many' } }, /rope_parameters\.beta_fast/],
    ['truncate of another kind', { ...llama, rope_parameters: { ...yarn, truncate: 1 } }, /rope_parameters\.truncate/],
    [
      'yarn in two ways',
      { ...llama, rope_scaling: yarn, rope_parameters: { ...yarn, beta_fast: 16 } },
      /rope_scaling asks for .*yarn scaling by 4 .*fast 32.*, but rope_parameters for .*fast 16/,
    ],
    ['two kinds', { ...llama, rope_scaling: yarn, rope_parameters: { rope_type: 'dynamic', factor: 4 } }, /yarn.*dynamic/],
    [
      'another length inside',
      { ...llama, rope_parameters: { ...yarn, max_position_embeddings: 512 } },
      /max_position_embeddings is 256, but rope_parameters\.max_position_embeddings is 512/,
    ],
    ['too few factors', { ...phi, rope_scaling: { ...long, long_factor: [1, 2] } }, /rope_scaling\.long_factor, .* has to hold 8 numbers/],
    ['a factor below 0', { ...phi, rope_scaling: { ...long, short_factor: Array(8).fill(-1) } }, /rope_scaling\.short_factor.* is wrong/],
    ['no list of factors', { ...phi, rope_scaling: { ...long, short_factor: undefined } }, /rope_scaling\.short_factor.* is missing/],
    [
      'another length before',
      { ...phi, rope_scaling: { ...long, original_max_position_embeddings: 128 } },
      /original_max_position_embeddings is 64, but rope_scaling\.original_max_position_embeddings is 128/,
    ],
    [
      'a factor that the lengths contradict',
      { ...phi, rope_scaling: { ...long, factor: 8 } },
      /rope_scaling\.factor is 8, but max_position_embeddings \/ original_max_position_embeddings is 4/,
    ],
    [
      'a length that 4 does not divide',
      { ...phi, original_max_position_embeddings: 66, rope_scaling: { ...long, original_max_position_embeddings: 66 } },
      /is 66/,
    ],
    ['factors that transformers overlooks', { ...phi, rope_scaling: { ...long, short_mscale: 1.2 } }, /short_mscale/],
    ['yarn in Phi-3', { ...phi, rope_scaling: yarn }, /rope_scaling\.rope_type is "yarn"/],
    ['a part in LLaMA', { ...llama, partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0.5/],
    ['a part that is none', { ...phi, partial_rotary_factor: 0 }, /partial_rotary_factor is 0/],
    ['a part of an odd width', { ...phi, partial_rotary_factor: 0.35 }, /partial_rotary_factor is 0.35: .* even/],
    ['more than all', { ...phi, partial_rotary_factor: 1.5 }, /partial_rotary_factor is 1.5/],
    ['kinds of attention in LLaMA', { ...llama, rope_parameters: { full_attention: { rope_type: 'default' } } }, /own for full_attention/],
    ['no kinds of attention in OLMo 3', { ...olmo, rope_parameters: yarn }, /rope_parameters\.full_attention is missing/],
    [
      'a type without rope_type in OLMo 3',
      { ...olmo, rope_scaling: { type: 'yarn', factor: 4 } },
      /rope_scaling has a type, but no rope_type/,
    ],
    [
      'a base that transformers takes for full attention only',
      { ...olmo, rope_theta: 1e4 },
      /rope_theta is 10000, but what transformers 5 takes for sliding attention is 500000/,
    ],
    [
      'truncate where transformers does not look',
      { ...olmo, rope_parameters: { full_attention: { ...yarn, truncate: false }, sliding_attention: { rope_type: 'default' } } },
      /full_attention\.truncate is false/,
    ],
    ['no growth of queries', { ...ministral, rope_parameters: yarn }, /rope_parameters\.llama_4_scaling_beta, .* is missing/],
    ['a growth below 0', { ...ministral, rope_parameters: { ...yarn, llama_4_scaling_beta: -1 } }, /llama_4_scaling_beta, .* is wrong/],
    [
      'a growth from no position',
      { ...ministral, rope_parameters: { rope_type: 'default', llama_4_scaling_beta: 0.1 } },
      /original_max_position_embeddings, .* is missing/,
    ],
    ['blocks without rotation for fewer blocks', { ...smollm, no_rope_layers: [1] }, /no_rope_layers has 1 entries for 2 blocks/],
    ['blocks without rotation that are no list', { ...smollm, no_rope_layers: 'all' }, /no_rope_layers/],
    ['an interval of 0', { ...smollm, no_rope_layer_interval: 0 }, /no_rope_layer_interval/],
  ])('%s', async (_, config, message) => {
    const error = await refusal(() => readModel(config))
    expect(error.code).toMatch(/^config-/)
    expect(error.message).toMatch(message)
  })
})

test('queries grow with every `original` positions, and keys do not', () => {
  const settings: RopeSettings = { theta: 1e4, share: 1, scaling: { kind: 'none' }, queries: { beta: 0.5, original: 8 } }
  const { queries, keys } = ropeTables(settings, 4, 20)
  const growth = Array.from({ length: 20 }, (_, position) => queries[4 * position] / keys[4 * position])
  growth.forEach((times, position) => expect(times).toBeCloseTo(1 + 0.5 * Math.log(1 + Math.floor(position / 8)), 5))
  const short = ropeTables({ ...settings }, 4, 8)
  expect(short.queries).toBe(short.keys)
})
