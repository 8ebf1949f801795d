import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type Folder, openFolder } from './folder.ts'
import { f16ToF32, f32ToF16 } from './half.ts'

const models = '../shared/models'

function open(name: string): Promise<Folder> {
  const folder = `${models}/stories260K-${name}`
  return openFolder(new Map(readdirSync(folder).map((file) => [`${name}/${file}`, new Blob([readFileSync(`${folder}/${file}`)])])))
}

const linears = [
  'self_attn.q_proj',
  'self_attn.k_proj',
  'self_attn.v_proj',
  'self_attn.o_proj',
  'mlp.gate_proj',
  'mlp.up_proj',
  'mlp.down_proj',
]
const names = [
  'model.embed_tokens.weight',
  'model.norm.weight',
  ...[0, 1, 2, 3, 4].flatMap((layer) =>
    [...linears, 'input_layernorm', 'post_attention_layernorm'].map((module) => `model.layers.${layer}.${module}.weight`),
  ),
].sort()

test('the four layouts of one model hold the same weights', async () => {
  const [half, sharded, single, brain] = await Promise.all(['hf', 'hf-sharded', 'hf-f32', 'hf-bf16'].map(open))
  for (const { checkpoint, packing, config } of [half, single, brain]) {
    expect([...checkpoint.tensors.keys()].sort()).toEqual(names)
    expect(packing).toBeNull()
    expect(config.model_type).toBe('llama')
  }
  expect([...sharded.checkpoint.tensors.keys()].sort()).toEqual(['lm_head.weight', ...names])
  expect(new Set([...sharded.checkpoint.tensors.values()].map(({ file }) => file)).size).toBe(3)
  expect(sharded.checkpoint.bytes).toBe(585_600) // as its index says

  for (const name of names) {
    const bytes = await half.checkpoint.read(name)
    expect(await sharded.checkpoint.read(name)).toEqual(bytes)
    const exact = new Float32Array((await single.checkpoint.read(name)).buffer)
    const halves = new Uint16Array(bytes.buffer)
    expect(f32ToF16(exact)).toEqual(halves)
    // Rounded twice on different paths: within half a unit of the last bfloat16 place.
    const rounded = new Uint16Array((await brain.checkpoint.read(name)).buffer)
    const wide = new Float32Array(Uint32Array.from(rounded, (bits) => bits << 16).buffer)
    expect(wide.every((value, i) => Math.abs(value - exact[i]) <= Math.abs(exact[i]) * 2 ** -8)).toBe(true)
    expect(f16ToF32(halves).every((value, i) => Math.abs(value - exact[i]) <= Math.max(Math.abs(exact[i]) * 2 ** -11, 2 ** -25))).toBe(true)
  }
  const head = await sharded.checkpoint.read('lm_head.weight')
  expect(head).toEqual(await half.checkpoint.read('model.embed_tokens.weight'))
  expect(half.otherFiles.map(({ name }) => name)).toEqual([
    'generation_config.json',
    'special_tokens_map.json',
    'tokenizer.json',
    'tokenizer_config.json',
  ])
})
