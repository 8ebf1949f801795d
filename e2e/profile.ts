/**
 * `npm run profile -- [--windows 1] [--tokens 512] [--write] [FAMILY ...]`: where the forward pass spends its time, each kernel's
 * share of whole passes (embedding, two blocks, head) of models with random weights at hidden size 512. `--write` puts the
 * table into e2e/bench/README.md.
 */
import { parseArgs } from 'node:util'
import { dawn, headless } from '../src/engine/hosts/node.ts'
import { flatIds } from '../src/eval/perplexity.ts'
import { WebGpuDevice } from '../src/gpu/webgpu.ts'
import { applyHead } from '../src/gpu/head.ts'
import { embed, type Panels } from '../src/gpu/ops.ts'
import type { Tensor } from '../src/gpu/tensor.ts'
import { type BlockLayout, type BlockWeights, keptOf, kindsOf, linearsOf, type Model } from '../src/models/family.ts'
import { readModel } from '../src/models/index.ts'
import { keepTable, markdown } from './tables.ts'

const common = { hidden_size: 512, num_hidden_layers: 2, num_attention_heads: 8, vocab_size: 2048, max_position_embeddings: 2048 }

/** The families' shapes at hidden size 512. */
const profiled: Record<string, Record<string, unknown>> = {
  LLaMA: { ...common, model_type: 'llama', num_key_value_heads: 8, intermediate_size: 1376, tie_word_embeddings: true },
  'Ministral 3': {
    ...{ ...common, model_type: 'ministral3', num_key_value_heads: 2, head_dim: 64, intermediate_size: 1536 },
    rope_parameters: { rope_type: 'yarn', factor: 16, original_max_position_embeddings: 128, rope_theta: 1e6, llama_4_scaling_beta: 0.1 },
  },
  SmolLM3: { ...common, model_type: 'smollm3', num_key_value_heads: 2, intermediate_size: 2752, no_rope_layer_interval: 2 },
  'OLMo 2': { ...common, model_type: 'olmo2', intermediate_size: 2048 },
  'OLMo 3': {
    ...{ ...common, model_type: 'olmo3', intermediate_size: 1376, sliding_window: 128 },
    layer_types: ['sliding_attention', 'full_attention'],
  },
  'Phi-4-mini': { ...common, model_type: 'phi3', num_key_value_heads: 2, intermediate_size: 1376, partial_rotary_factor: 0.75 },
  // Of a hidden size of 512 as the published models are of theirs: three delta nets and a block that attends.
  'Qwen3.5': {
    ...{ ...common, model_type: 'qwen3_5_text', num_hidden_layers: 4, num_key_value_heads: 2, head_dim: 128, intermediate_size: 1792 },
    ...{ num_attention_heads: 4, linear_num_key_heads: 8, linear_num_value_heads: 8 },
  },
  'Gemma 4': {
    ...{ ...common, model_type: 'gemma4_text', num_attention_heads: 4, num_key_value_heads: 2, head_dim: 128, intermediate_size: 2048 },
    ...{ global_head_dim: 256, num_global_key_value_heads: 1, attention_k_eq_v: true, hidden_size_per_layer_input: 0 },
    ...{ layer_types: ['sliding_attention', 'full_attention'], sliding_window: 128 },
  },
  // As E2B is at its size: half of the blocks borrow keys and values and have wide MLPs.
  'Gemma 4 E2B': {
    ...{ ...common, model_type: 'gemma4_text', num_hidden_layers: 4, num_attention_heads: 4, num_key_value_heads: 1, head_dim: 128 },
    ...{ intermediate_size: 2048, use_double_wide_mlp: true, num_kv_shared_layers: 2, global_head_dim: 256, sliding_window: 128 },
    ...{ hidden_size_per_layer_input: 84, vocab_size_per_layer_input: common.vocab_size },
    layer_types: ['sliding_attention', 'full_attention', 'sliding_attention', 'full_attention'],
  },
  Granite: {
    ...{ ...common, model_type: 'granite', num_key_value_heads: 2, intermediate_size: 2048 },
    ...{ embedding_multiplier: 12, attention_multiplier: 0.015625, residual_multiplier: 0.22, logits_scaling: 8 },
  },
  OPT: { ...common, model_type: 'opt', ffn_dim: 2048 },
  BLOOM: { ...common, model_type: 'bloom' },
  Falcon: { ...common, model_type: 'falcon' },
}

interface Profile {
  /** Milliseconds by kernel. */
  kernels: Record<string, number>
  /** Milliseconds of the same pass without a look at each kernel. */
  whole: number
}

/** One pass over `windows` windows of `t` tokens after one that compiles: embedding, blocks, head and losses. */
async function profileForward(gpu: WebGpuDevice, config: Record<string, unknown>, windows: number, t: number): Promise<Profile> {
  const { model } = readModel(config)
  const mark = gpu.mark()
  const { blocks, outer, head } = randomWeights(gpu, model)
  const batch = {
    ids: Array.from({ length: windows }, () => Int32Array.from({ length: t }, (_, i) => i % head.rows)),
    windows,
    length: t,
    t,
    inputs: () => new Float32Array(windows * t * (model.perLayer?.width ?? 0)).fill(0.5),
  }
  const pass = async () => {
    const ids = flatIds(batch)
    let x = model.start(gpu, outer, embed(gpu, head, ids), batch)
    for (let k = 0; k < model.shape.blocks; k++) {
      const steps = model.block(gpu, blocks.get(model.layouts[k])!, x, batch, k)
      let step = await steps.next()
      while (!step.done) step = await steps.next()
      x.dispose()
      x = step.value
    }
    const last = model.finish(gpu, outer, x)
    await applyHead(gpu, last, head, ids)
    for (const tensor of [x, last]) tensor.dispose()
    await gpu.sync()
  }
  await pass()
  const before = performance.now()
  await pass()
  const whole = performance.now() - before
  const kernels = await timed(gpu, pass)
  gpu.releaseSince(mark)
  gpu.trim()
  return { kernels, whole }
}

/** Each dispatch as a submit of its own: the queue does one after the other, so ends tell how long each took. */
async function timed(gpu: WebGpuDevice, work: () => Promise<void>): Promise<Record<string, number>> {
  const kernels: Record<string, number> = {}
  const ends: Promise<void>[] = []
  const { run } = gpu
  await gpu.sync()
  let last = performance.now()
  gpu.run = (name, ...rest) => {
    run.call(gpu, name, ...rest)
    gpu.flush()
    ends.push(
      gpu.device.queue.onSubmittedWorkDone().then(() => {
        const now = performance.now()
        kernels[name] = (kernels[name] ?? 0) + now - last
        last = now
      }),
    )
  }
  try {
    await work()
    await Promise.all(ends)
  } finally {
    gpu.run = run
  }
  return kernels
}

/** Weights of a size that keeps activations around 1; blocks of a kind share theirs. */
function randomWeights(gpu: WebGpuDevice, model: Model) {
  const { outer, shape } = model
  let state = 1
  const noise = (extents: number[], scale: number, offset = 0): Tensor => {
    const values = new Float32Array(extents.reduce((a, b) => a * b, 1))
    for (let i = 0; i < values.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      values[i] = offset + (state / 2 ** 31 - 1) * scale
    }
    return gpu.upload(values, extents)
  }
  const blocks = new Map<BlockLayout, BlockWeights>()
  for (const layout of kindsOf(model)) {
    const block: BlockWeights = new Map()
    for (const { name, q, p } of linearsOf(layout)) block.set(`${name}.weight`, noise([p, q], 2 / Math.sqrt(p)))
    for (const { name, length } of layout.vectors) block.set(name, noise([length, 1], 0.3, name.endsWith('weight') ? 1 : 0))
    for (const { name, shape, linear } of keptOf(layout)) {
      const cols = shape.slice(1).reduce((a, b) => a * b)
      block.set(name, noise(linear ? [cols, shape[0]] : [shape[0], cols], 2 / Math.sqrt(cols)))
    }
    blocks.set(layout, block)
  }
  const outside: BlockWeights = new Map()
  for (const { name, shape: extents } of outer)
    outside.set(name, noise([...extents], 0.3, extents.length === 1 && name.endsWith('weight') ? 1 : 0))
  const head: Panels = {
    rows: shape.vocab,
    cols: shape.embedWidth,
    parts: [{ first: 0, tensor: noise([shape.vocab, shape.embedWidth], 0.5) }],
  }
  return { blocks, outer: outside, head }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      windows: { type: 'string', default: '1' },
      tokens: { type: 'string', default: '512' },
      write: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  })
  const [windows, tokens] = [Number(values.windows), Number(values.tokens)]
  const gpu = await WebGpuDevice.open(dawn())
  const profiles = new Map<string, Profile>()
  for (const [name, config] of Object.entries(profiled)) {
    if (!positionals.length || positionals.includes(name)) profiles.set(name, await profileForward(gpu, config, windows, tokens))
  }
  const total = ({ kernels }: Profile) => Object.values(kernels).reduce((a, b) => a + b, 0)
  const most = (kernel: string) => Math.max(...[...profiles.values()].map((profile) => (profile.kernels[kernel] ?? 0) / total(profile)))
  const kernels = [...new Set([...profiles.values()].flatMap((profile) => Object.keys(profile.kernels)))].sort((a, b) => most(b) - most(a))
  const share = (profile: Profile, kernel: string) =>
    kernel in profile.kernels ? `${((100 * profile.kernels[kernel]) / total(profile)).toFixed(1)} %` : ''
  const rows = kernels.map((kernel) => [kernel, ...[...profiles.values()].map((profile) => share(profile, kernel))])
  const sums = [...profiles.values()].map((profile) => `${total(profile).toFixed(0)} ms; ${profile.whole.toFixed(0)} ms`)
  const table = markdown(['share of the forward pass', ...profiles.keys()], [...rows, ['sum; without timing each kernel', ...sums]])
  const made = `${gpu.info.name} (${gpu.info.kind}), ${windows} × ${tokens} tokens\n\n${table}`
  console.log(made)
  if (values.write) await keepTable('e2e/bench/README.md', 'profile', made)
}

headless(main)
