/** GGUF checkpoints in llama.cpp itself: they load, and it computes with them what we compute. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LlamaModel, llamaCpp } from '../../../e2e/llama-cpp.ts'
import { testGpu, testSource } from '../../gpu/testing.ts'
import { openFolder } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { logitsOf, randomModel } from '../../models/testing.ts'
import { type OpenModel, openModel } from '../../models/open.ts'
import type { Job } from '../job/job.ts'
import { examine } from '../plan/check.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testDemo, testTexts } from '../testing.ts'

const tokenizer = await readFile('public/demo/tokenizer.json', 'utf8')

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gguf-'))
  console.log((await llamaCpp()).build)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A finished job in GGUF, for llama.cpp, and in a format to compute with here: plain weights where GPTQ does not hold the type. */
async function made(session: Session, options: Record<string, unknown>) {
  const other = options.kind ? 'dense' : 'gptq'
  const job: Job = smallJob([{ id: 'one', label: 'One', method: 'rtn', options }] as Job['runs'], {
    save: true,
    formats: options.kind ? ['gguf', other] : [other, 'gguf'],
    calibration: { text: 'demo-calibration', samples: 1, length: 32, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: 2, length: 96 },
  })
  const { check, plan } = await examine(job, session)
  expect(check.problems.filter(({ severity }) => severity === 'error')).toEqual([])
  const { host, sinks } = memoryHost(session)
  const [run] = (await runJob(job, host)).runs
  expect(run.error ?? run.exportError).toBeUndefined()
  const files = [...sinks.get('one')!.files]
  const [[path, bytes], ...more] = files.filter(([name]) => name.endsWith('.gguf'))
  expect(more).toEqual([])
  const file = join(folder, path.replace('/', '-'))
  await writeFile(file, bytes)
  const own = files
    .filter(([name]) => name.startsWith(`${other}/`))
    .map(([name, content]) => [name.slice(other.length + 1), content] as const)
  const opened = openModel(await openFolder(memoryFiles(own)))
  return { run, windows: plan!.evaluation, opened, model: await LlamaModel.open(file) }
}

/** Perplexity of windows in llama.cpp, each by itself. */
async function perplexity(model: LlamaModel, windows: Int32Array[], vocab: number) {
  let [sum, count] = [0, 0]
  for (const ids of windows) {
    const rows = await model.probabilities(ids, vocab)
    for (let i = 1; i < ids.length; i++) {
      sum -= Math.log(rows[i - 1][ids[i]])
      count++
    }
  }
  return Math.exp(sum / count)
}

/** Logits `[tokens, vocab]` here. */
async function logitsHere(opened: OpenModel, ids: ArrayLike<number>): Promise<Float32Array> {
  const gpu = await testGpu()
  const t = Math.ceil(ids.length / 4) * 4
  const tensor = await logitsOf(
    gpu,
    opened,
    Uint32Array.from({ length: t }, (_, i) => ids[i] ?? 0),
    { windows: 1, t },
  )
  const logits = (await gpu.read(tensor)) as Float32Array
  tensor.dispose()
  return logits
}

/**
 * Share of the largest logit. llama.cpp rounds the inputs of quantized linears to 8 bits, by up to 0.4 % each, and keys and
 * values to float16; random weights make 2 % of that at most positions, and up to 5.5 % at one. What is left out or in another
 * order makes more than half.
 */
const NEAR = 0.08

/** 64 tokens of llama.cpp are those that we would choose, or as good as them. */
async function expectSameWords({ model, opened }: Awaited<ReturnType<typeof made>>, prompt: readonly number[]) {
  const found = await model.greedy(prompt, 64)
  const ids = [...prompt, ...found]
  const { vocab } = opened.model.shape
  const logits = await logitsHere(opened, ids)
  let largest = 0
  for (const value of logits) largest = Math.max(largest, Math.abs(value))
  found.forEach((token, i) => {
    const row = logits.subarray((prompt.length - 1 + i) * vocab, (prompt.length + i) * vocab)
    const best = Math.max(...row)
    expect(best - row[token], `token ${i}: ${token} instead of ${row.indexOf(best)}`).toBeLessThan(NEAR * largest)
  })
}

describe('the demo', async () => {
  const session = new Session(testSource(), testTexts())
  await session.open(await testDemo())
  const text = 'Once upon a time there was a café, 1234 miles away.\n\n“Well…”  said the owl'

  it.each([
    ['Q4_0', { bits: 4, groupSize: 32, symmetric: true }],
    ['Q4_1', { bits: 4, groupSize: 64, symmetric: false }],
    ['Q8_0', { bits: 8, groupSize: -1, symmetric: true }],
    ['Q4_1', { kind: 'affine', bits: 3, groupSize: 64 }],
    ['Q5_0', { kind: 'q5_0' }],
    ['Q5_1', { kind: 'q5_1' }],
    ['Q4_0', { bits: 3, groupSize: -1, symmetric: true, blocks: 2 }],
  ])('in %s, %o', async (type, options) => {
    const result = await made(session, options)
    const { model, windows, run } = result
    expect(model.model.getModelDescription()).toContain(type)
    expect(model.tokenize(text)).toEqual([...session.tokenizer.encode(text)])
    const theirs = await perplexity(model, windows, 1024)
    expect(theirs, `${theirs} instead of ${run.perplexity}`).toBeClose(run.perplexity!, { relative: 0.01 })
    await expectSameWords(result, [...session.tokenizer.encode('Once upon a time')])
    await model.dispose()
  })
})

describe('a family', () => {
  const small = {
    hidden_size: 64,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 96,
    vocab_size: 1024,
    max_position_embeddings: 128,
    rms_norm_eps: 1e-6,
    eos_token_id: 0,
  }
  const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 32 }
  const falcon = {
    ...small,
    model_type: 'falcon',
    bias: false,
    layer_norm_epsilon: 1e-5,
    alibi: false,
    multi_query: true,
    parallel_attn: true,
  }
  const untied = { ...small, tie_word_embeddings: false }
  const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 32 }
  const longrope = (original: number) => ({
    ...untied,
    model_type: 'phi3',
    partial_rotary_factor: 0.5,
    max_position_embeddings: 4 * original,
    original_max_position_embeddings: original,
    rope_scaling: { type: 'longrope', short_factor: [1, 1.1, 1.2, 1.5], long_factor: [1, 2, 3, 8] },
  })
  const gemma = { ...small, head_dim: 16, query_pre_attn_scalar: 16, sliding_window: 8, hidden_activation: 'gelu_pytorch_tanh' }
  const gemma4 = {
    ...{ ...gemma, model_type: 'gemma4_text', global_head_dim: 32, vocab_size_per_layer_input: 1024 },
    rope_parameters: {
      sliding_attention: { rope_type: 'default', rope_theta: 100 },
      full_attention: { rope_type: 'proportional', partial_rotary_factor: 0.5, rope_theta: 1000 },
    },
  }
  const qwen35 = {
    ...{ ...untied, model_type: 'qwen3_5_text', num_hidden_layers: 4, head_dim: 32, rope_theta: 100 },
    ...{ linear_num_key_heads: 4, linear_key_head_dim: 32, linear_value_head_dim: 32 },
  }
  const models: Record<string, Record<string, unknown>> = {
    'LLaMA 3 with its RoPE and biases': {
      ...small,
      model_type: 'llama',
      rope_theta: 500,
      rope_scaling: llama3,
      attention_bias: true,
      mlp_bias: true,
    },
    'LLaMA with wide heads, linear RoPE and a head of its own': {
      ...small,
      model_type: 'llama',
      head_dim: 32,
      rope_scaling: { rope_type: 'linear', factor: 2 },
    },
    Mistral: { ...small, model_type: 'mistral', sliding_window: null },
    Qwen2: { ...small, model_type: 'qwen2', tie_word_embeddings: true, rope_theta: 1e6 },
    'Qwen3 with YaRN': { ...small, model_type: 'qwen3', head_dim: 32, rope_theta: 100, rope_scaling: yarn },
    'Ministral 3, whose queries grow': {
      ...untied,
      model_type: 'ministral3',
      head_dim: 32,
      rope_parameters: { ...yarn, rope_theta: 100, beta_fast: 8, beta_slow: 2, mscale: 1, mscale_all_dim: 1, llama_4_scaling_beta: 0.7 },
    },
    'SmolLM3, of whose blocks one does not rotate': { ...small, model_type: 'smollm3', num_hidden_layers: 5, rope_theta: 100 },
    'Granite with its multipliers': {
      ...small,
      model_type: 'granite',
      attention_bias: true,
      embedding_multiplier: 3,
      residual_multiplier: 0.4,
      attention_multiplier: 0.5,
      logits_scaling: 2,
      rope_scaling: { ...yarn, attention_factor: 1.3 },
    },
    'OLMo 2': { ...untied, model_type: 'olmo2' },
    'OLMo 3 with windows, and YaRN beyond them': {
      ...untied,
      model_type: 'olmo3',
      num_hidden_layers: 5,
      sliding_window: 8,
      rope_theta: 5e5,
      rope_scaling: yarn,
    },
    'Phi-3 with its short factors': longrope(256),
    'Phi-3 with its long factors': longrope(64),
    'Gemma 2': { ...gemma, model_type: 'gemma2', attn_logit_softcapping: 3, final_logit_softcapping: 10 },
    'Gemma 3': {
      ...gemma,
      model_type: 'gemma3_text',
      num_hidden_layers: 7,
      rope_theta: 10000,
      rope_local_base_freq: 100,
      rope_scaling: { rope_type: 'linear', factor: 2 },
    },
    'Gemma 4 whose keys are values': {
      ...{ ...gemma4, num_hidden_layers: 6, hidden_size_per_layer_input: 0, attention_k_eq_v: true, num_global_key_value_heads: 1 },
      final_logit_softcapping: 10,
    },
    'Gemma 4 whose tokens speak to every block, and whose last blocks borrow': {
      ...{ ...gemma4, num_hidden_layers: 6, hidden_size_per_layer_input: 32, num_kv_shared_layers: 3, use_double_wide_mlp: true },
      layer_types: ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention', 'sliding_attention', 'full_attention'],
    },
    'Qwen3.5': { ...qwen35, linear_num_value_heads: 4 },
    'Qwen3.5 with two values for a key': { ...qwen35, linear_num_value_heads: 8, num_hidden_layers: 3, full_attention_interval: 2 },
    'Falcon 7b': { ...falcon, new_decoder_architecture: false },
    'Falcon 40b': { ...falcon, new_decoder_architecture: true, num_kv_heads: 2, rope_theta: 500, ffn_hidden_size: 96 },
    BLOOM: { model_type: 'bloom', hidden_size: 96, n_head: 3, n_layer: 2, vocab_size: 1024, layer_norm_epsilon: 1e-5, eos_token_id: 0 },
  }

  const session = new Session(testSource(), testTexts())

  it.each([
    ['q2_k', 'Q2_K'],
    ['q3_k', 'Q3_K'],
    ['q4_k', 'Q4_K'],
    ['q5_k', 'Q5_K'],
    ['q6_k', 'Q6_K'],
  ])('in %s, with rows that super-blocks divide and others', async (kind, type) => {
    const wide = { ...untied, model_type: 'llama', hidden_size: 256, num_hidden_layers: 1 }
    await session.open(memoryFiles([...randomModel(wide, 11), ['tokenizer.json', tokenizer]]))
    const { model, windows, opened, run } = await made(session, { kind })
    expect(model.model.getModelDescription()).toContain(type)
    expect(run.layers.map(({ shape, bits }) => [shape[1], Object.values(bits).reduce((a, b) => a + b, 0) / shape[0] / shape[1]])).toEqual(
      run.layers.map(({ shape: [, p] }) => [p, sizes[p === 256 ? kind : fallbacks[kind]]]),
    )
    const theirs = await model.probabilities(windows[0], 1024)
    const ours = await logitsHere(opened, windows[0])
    theirs.forEach((row, i) =>
      expect(centred(row.map(Math.log)), `position ${i}`).toBeClose(centred(ours.subarray(i * 1024, (i + 1) * 1024)), { ofLargest: NEAR }),
    )
    await model.dispose()
  })

  // Of whose blocks the first is quantized, so that the others' rows are copied, into their order too.
  it.each(Object.entries(models))('%s', async (_, config) => {
    await session.open(memoryFiles([...randomModel(config, 11), ['tokenizer.json', tokenizer]]))
    const { model, windows, opened } = await made(session, { bits: 8, groupSize: 32, symmetric: true, blocks: 1 })
    const [window] = windows
    const theirs = await model.probabilities(window, 1024)
    const ours = await logitsHere(opened, window)
    theirs.forEach((row, i) =>
      expect(centred(row.map(Math.log)), `position ${i}`).toBeClose(centred(ours.subarray(i * 1024, (i + 1) * 1024)), { ofLargest: NEAR }),
    )
    await model.dispose()
  })
})

/** Bits per weight of types, and those of rows that 256 does not divide. */
const sizes: Record<string, number> = {
  ...{ q2_k: 2.625, q3_k: 3.4375, q4_k: 4.5, q5_k: 5.5, q6_k: 6.5625 },
  ...{ iq4_nl: 4.5, q5_0: 5.5, q5_1: 6, q8_0: 8.5 },
}
const fallbacks: Record<string, string> = { q2_k: 'iq4_nl', q3_k: 'iq4_nl', q4_k: 'q5_0', q5_k: 'q5_1', q6_k: 'q8_0' }

/** Logarithms of probabilities are logits but for a number that is the same for all. */
function centred(row: Float32Array): Float32Array {
  const mean = row.reduce((a, b) => a + b, 0) / row.length
  return row.map((value) => value - mean)
}
