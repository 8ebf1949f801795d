import { expect, test } from 'vitest'
import { claims, matcherOf, overrideText, parseOverride, quantizedPaths } from './overrides.ts'
import { gptq } from './quant/gptq.ts'
import { rtn } from './quant/rtn.ts'

const path = (k: number, name: string) => `model.layers.${k}.${name}`
const paths = [0, 1, 10].flatMap((k) =>
  ['self_attn.q_proj', 'self_attn.k_proj', 'mlp.up_proj', 'mlp.down_proj'].map((name) => path(k, name)),
)

test.each<[string, RegExp]>([
  ['down_proj', /down_proj$/],
  ['mlp', /mlp/],
  // Whole parts: block 1 is not block 10, and no part of a name is the name.
  ['layers.1', /layers\.1\./],
  ['proj', /^$/],
  ['*_proj', /./],
  ['{q,k}_proj', /[qk]_proj$/],
  ['layers.{0..1}.mlp', /layers\.[01]\.mlp/],
  ['layers.{1..10}', /layers\.10?\./],
  ['layers.*.self_attn', /self_attn/],
  ['model.layers.10.mlp.up_proj', /10\.mlp\.up/],
  // Nothing but stars and braces means more than itself.
  ['layers.1?', /^$/],
  ['.', /^$/],
])('%s', (pattern, expected) => {
  expect(paths.filter(matcherOf(pattern))).toEqual(paths.filter((one) => expected.test(one)))
})

test('an override is read from words and written in them', () => {
  const read = (text: string) => parseOverride(text, gptq.options)
  expect(read('down_proj:bits=4,group-size=32')).toEqual({ pattern: 'down_proj', options: { bits: 4, groupSize: 32 } })
  expect(read(' mlp : wbits=8, sym ')).toEqual({ pattern: 'mlp', options: { bits: 8, symmetric: true } })
  expect(read('a:b:groupsize=-1,symmetric=false,grid=mse')).toEqual({
    pattern: 'a:b',
    options: { groupSize: -1, symmetric: false, grid: 'mse' },
  })
  expect(read('layers.0:keep')).toEqual({ pattern: 'layers.0' })
  for (const text of ['down_proj:bits=4,group-size=32', 'layers.0:keep', 'a:symmetric=true']) expect(overrideText(read(text))).toBe(text)
})

test.each([
  ['down_proj', /a pattern and what holds there/],
  [':bits=4', /a pattern and what holds there/],
  ['down_proj:', /a pattern and what holds there/],
  ['down_proj:bits=5', /Bits can be 2, 3, 4 or 8, not 5/],
  ['down_proj:bits', /Bits can be/],
  ['down_proj:bits=', /Bits can be/],
  ['down_proj:bits=4,bits=3', /more than once/],
  ['down_proj:symmetric=maybe', /on or off/],
  ['down_proj:damping=0.1', /“damping” .* is none of kind, bits, group-size, symmetric, grid, and not keep/],
  ['layers.{3..1}:keep', /no range/],
  ['layers.{0..99999}:keep', /no range/],
  ['*a*{a,b}*a*:keep', /more than 4 stars and braces/],
  [`${'a'.repeat(301)}:keep`, /longer than 300/],
])('refuses %s', (text, message) => {
  expect(() => parseOverride(text, rtn.options)).toThrow(message)
})

test('of several overrides the first that matches counts', () => {
  const overrides = [parseOverride('layers.0.mlp:keep', rtn.options), parseOverride('mlp:bits=8', rtn.options)]
  const names = [path(0, 'mlp.up_proj'), path(1, 'mlp.up_proj'), path(0, 'self_attn.q_proj')]
  expect(claims(overrides, names)).toEqual([0, 1, null])
  expect(quantizedPaths(overrides, names)).toEqual(names.slice(1))
})
