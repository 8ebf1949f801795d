import { beforeAll, describe, expect, it } from 'vitest'
import { batched, flatIds, scoreWindows } from '../eval/perplexity.ts'
import { WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import { embed, gramUpper, mirror } from '../gpu/ops.ts'
import * as ref from '../gpu/reference.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { testGpu } from '../gpu/testing.ts'
import { openFolder } from '../io/folder.ts'
import { memoryFiles } from '../io/memory.ts'
import { readModel } from './index.ts'
import { type TinyConfig, safetensorsOf, tinyTensors, twin } from './testing.ts'
import { disposeBlock, loadBlock, loadOuter, loadPanels } from './weights.ts'
import { openModel } from './open.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

const plain: TinyConfig = {
  model_type: 'llama',
  hidden_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  head_dim: 8,
  intermediate_size: 44,
  vocab_size: 61,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
}

const variants: Record<string, TinyConfig> = {
  'grouped-query attention': plain,
  'tied head, one key/value head per head': { ...plain, tie_word_embeddings: true, num_key_value_heads: 6 },
  'biases everywhere': { ...plain, attention_bias: true, mlp_bias: true },
  'linear rope scaling': { ...plain, rope_scaling: { type: 'linear', factor: 2.5 } },
  'llama3 rope scaling': {
    ...plain,
    rope_theta: 500,
    rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 16 },
  },
  'mistral with a sliding window': { ...plain, model_type: 'mistral', sliding_window: 5 },
}

async function open(config: object, tensors: ReturnType<typeof tinyTensors>) {
  return openModel(
    await openFolder(
      memoryFiles([
        ['config.json', JSON.stringify(config)],
        ['model.safetensors', safetensorsOf(tensors)],
      ]),
    ),
  )
}

async function far(tensor: Tensor, expected: ref.Matrix, rows = expected.rows, from = 0): Promise<number> {
  const got = await gpu.read(tensor)
  const scale = expected.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
  let most = 0
  for (let i = 0; i < rows * expected.cols; i++) most = Math.max(most, Math.abs(got[from * expected.cols + i] - expected.data[i]))
  return most / scale
}

describe.each(Object.entries(variants))('%s', (_, config) => {
  // 13 is no multiple of 4: windows get padding, which must change nothing.
  const ids = [3, 60, 17, 17, 0, 41, 8, 29, 55, 1, 12, 33, 50]
  const other = [9, 2, 44, 31, 7, 58, 20, 13, 60, 5, 36, 22, 48]

  it('agrees with float64: stage inputs, Gram matrices, losses', async () => {
    const tensors = tinyTensors(config, 7)
    const opened = await open(config, tensors)
    const expected = [ids, other].map((window) => twin(config, tensors, window))
    const [batch] = batched([Int32Array.from(ids), Int32Array.from(other)], 8)
    const outer = await loadOuter(gpu, opened)
    const embedding = await loadPanels(gpu, opened, opened.embedding)
    let x = opened.model.start(gpu, outer.weights, embed(gpu, embedding, flatIds(batch)), batch)
    for (let k = 0; k < config.num_hidden_layers; k++) {
      const weights = await loadBlock(gpu, opened, k)
      const steps = opened.model.block(gpu, weights, x, batch, k)
      let step = await steps.next()
      while (!step.done) {
        const { stage, input } = step.value
        const inputs = expected.map((one) => one.inputs[k][stage])
        expect(await far(input, inputs[0], 13)).toBeLessThan(2e-5)
        expect(await far(input, inputs[1], 13, batch.t)).toBeLessThan(2e-5)
        const p = input.cols
        const sigma = gpu.zeros([p, p])
        gramUpper(gpu, input, sigma, 0, 13)
        gramUpper(gpu, input, sigma, batch.t, 13)
        mirror(gpu, sigma)
        const both = inputs.map((m) => ref.product(ref.transposed(m), m))
        expect(
          await far(
            sigma,
            ref.matrix(p, p, (i, j) => both[0].data[i * p + j] + both[1].data[i * p + j]),
          ),
        ).toBeLessThan(4e-5)
        sigma.dispose()
        step = await steps.next()
      }
      disposeBlock(weights)
      x.dispose()
      x = step.value
    }
    const scores = await scoreWindows(gpu, opened.model, outer, x, batch)
    expected.forEach((one, i) => {
      const mean = one.losses.reduce((a, b) => a + b, 0) / one.losses.length
      expect(scores[i].loss).toBeClose(mean, { absolute: 1e-5 * Math.max(1, mean) })
    })
  })

  it('frees what it used when it is stopped half-way', async () => {
    const opened = await open(config, tinyTensors(config, 7))
    const [batch] = batched([Int32Array.from(ids)], 1)
    const weights = await loadBlock(gpu, opened, 0)
    const x = gpu.zeros([batch.t, config.hidden_size])
    await gpu.sync()
    gpu.trim()
    const before = gpu.memory.held
    for (let stop = 0; stop < 4; stop++) {
      for await (const { stage } of opened.model.block(gpu, weights, x, batch, 0)) if (stage === stop) break
    }
    gpu.trim()
    expect(gpu.memory.held).toBe(before)
  })
})

describe('tensor names and tying', () => {
  it('finds a head stored as the embedding’s only copy, and names without the model prefix', async () => {
    const tensors = tinyTensors({ ...plain, tie_word_embeddings: true }, 1)
    const moved = new Map(
      [...tensors].map(([name, tensor]) => [name === 'model.embed_tokens.weight' ? 'lm_head.weight' : name.replace('model.', ''), tensor]),
    )
    const opened = await open({ ...plain, tie_word_embeddings: true }, moved)
    expect([opened.embedding, opened.head, opened.prefix]).toEqual(['lm_head.weight', 'lm_head.weight', ''])
  })

  it('uses a stored head although the config says tied', async () => {
    const opened = await open({ ...plain, tie_word_embeddings: true }, tinyTensors(plain, 1))
    expect(opened.head).toBe('lm_head.weight')
  })
})

describe('bad input', () => {
  const refusal = async (work: () => unknown): Promise<WorkbenchError> => {
    try {
      await work()
    } catch (error) {
      if (error instanceof WorkbenchError) return error
      throw error
    }
    throw new Error('It was accepted.')
  }

  it.each([
    [{ model_type: 'gpt_bigcode' }, 'config-unsupported', /gpt_bigcode/, /llama, mistral/],
    [{ model_type: undefined }, 'config-unsupported', /no model_type/, /llama, mistral/],
    [{ hidden_size: 'big' }, 'config-invalid', /hidden_size/, /./],
    [{ hidden_size: -4 }, 'config-invalid', /hidden_size/, /./],
    [{ num_hidden_layers: 1e9 }, 'config-invalid', /num_hidden_layers/, /./],
    [{ num_key_value_heads: 4 }, 'config-invalid', /6 attention heads cannot share 4/, /./],
    [{ hidden_act: 'gelu' }, 'config-unsupported', /hidden_act is "gelu"/, /silu/],
    [{ intermediate_size: 45 }, 'config-unsupported', /intermediate_size is 45/, /multiples of 4/],
    [{ rope_scaling: { type: 'ntk', factor: 4 } }, 'config-unsupported', /"ntk"/, /default, linear, dynamic, llama3, yarn, longrope/],
    [{ rope_scaling: { type: 'linear' } }, 'config-invalid', /linear rope scaling/, /./],
    [{ rope_scaling: { rope_type: 'llama3', factor: 8 } }, 'config-invalid', /low_freq_factor/, /./],
    [{ rope_scaling: { factor: 2 } }, 'config-invalid', /rope_scaling has a factor, but no rope_type/, /./],
    [{ rope_scaling: 2 }, 'config-invalid', /rope_scaling is no object/, /./],
    [{ rope_parameters: { rope_type: 'axial' } }, 'config-unsupported', /rope_parameters.rope_type is "axial"/, /llama3/],
    [{ rope_parameters: { full_attention: { rope_theta: 1e4 } } }, 'config-unsupported', /rope_parameters .* full_attention/, /same/],
    [{ partial_rotary_factor: 0.5 }, 'config-unsupported', /partial_rotary_factor is 0.5/, /whole/],
    [{ model_type: 'mistral', attention_bias: true }, 'config-unsupported', /attention_bias is true/, /Mistral/],
    [
      { model_type: 'mistral', layer_types: ['full_attention', 'sliding_attention'], sliding_window: 8 },
      'config-unsupported',
      /layer_types/,
      /same/,
    ],
    [{ model_type: 'qwen3', mlp_bias: true }, 'config-unsupported', /mlp_bias is true/, /Qwen3/],
    [
      { model_type: 'qwen3', layer_types: ['full_attention', 'linear_attention'] },
      'config-unsupported',
      /"linear_attention"/,
      /sliding_attention/,
    ],
    [{ model_type: 'qwen3', layer_types: ['full_attention'] }, 'config-invalid', /layer_types has 1 entries for 2 blocks/, /./],
    [
      { model_type: 'qwen2', layer_types: ['full_attention', 'sliding_attention'] },
      'config-invalid',
      /without a sliding_window in use/,
      /./,
    ],
    [{ model_type: 'qwen2', use_sliding_window: 'yes' }, 'config-invalid', /use_sliding_window/, /./],
    [{ model_type: 'mixtral', num_local_experts: 8 }, 'config-unsupported', /mixture of experts: num_local_experts is 8/, /dense.*qwen3/],
    [{ model_type: 'qwen3_moe', num_experts: 128 }, 'config-unsupported', /num_experts/, /dense/],
    [{ n_routed_experts: 64 }, 'config-unsupported', /n_routed_experts/, /dense/],
    [{ vision_config: { hidden_size: 8 } }, 'config-unsupported', /vision.*vision_config/, /text/],
    [{ model_type: 'llava_llama', mm_vision_tower: 'clip' }, 'config-unsupported', /mm_vision_tower/, /text/],
  ])('config with %o is refused', async (change, code, message, hint) => {
    const error = await refusal(() => readModel({ ...plain, ...change }))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })

  it('reads rope_parameters as newer files have them', () => {
    expect(() => readModel({ ...plain, rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } })).not.toThrow()
  })

  it('a missing tensor, a wrong shape and a wrong dtype are named', async () => {
    const name = 'model.layers.1.mlp.up_proj.weight'
    const missing = tinyTensors(plain, 1)
    missing.delete(name)
    expect(await refusal(() => open(plain, missing))).toMatchObject({ code: 'tensor-missing', message: expect.stringContaining(name) })
    const wrong = tinyTensors(plain, 1)
    wrong.get(name)!.shape = [24, 44]
    expect(await refusal(() => open(plain, wrong))).toMatchObject({ code: 'tensor-mismatch', message: expect.stringContaining('[44, 24]') })
    const bytes = safetensorsOf(tinyTensors(plain, 1))
    const text = new TextDecoder('latin1').decode(bytes).replace(`"${name}":{"dtype":"F32"`, `"${name}":{"dtype":"I32"`)
    const changed = Uint8Array.from(text, (c) => c.charCodeAt(0))
    const folder = await openFolder(
      memoryFiles([
        ['config.json', JSON.stringify(plain)],
        ['model.safetensors', changed],
      ]),
    ) // prettier-ignore
    expect(await refusal(() => openModel(folder))).toMatchObject({ code: 'tensor-mismatch', message: expect.stringContaining('I32') })
  })

  it('NaN in a weight names the tensor', async () => {
    const tensors = tinyTensors(plain, 1)
    tensors.get('model.layers.1.self_attn.v_proj.weight')!.data[5] = Number.NaN
    const opened = await open(plain, tensors)
    disposeBlock(await loadBlock(gpu, opened, 0))
    expect(await refusal(() => loadBlock(gpu, opened, 1))).toMatchObject({
      code: 'weights-not-finite',
      message: expect.stringContaining('model.layers.1.self_attn.v_proj.weight contains 1'),
    })
  })
})
