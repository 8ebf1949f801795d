/** ONNX checkpoints in the programs that read them: onnxruntime computes what our own forward pass computes of the same weights. */
import { linearsOf } from '../../models/family.ts'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { AutoModelForCausalLM, AutoTokenizer, env } from '@huggingface/transformers'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../gpu/device.ts'
import { testGpu, testSource } from '../../gpu/testing.ts'
import type { Bytes, Files } from '../../io/bytes.ts'
import { encodeModel } from '../../io/formats/onnx/proto.ts'
import { memoryFiles } from '../../io/memory.ts'
import { fixtureFiles, fixtures } from '../../models/fixtures/fixtures.ts'
import { logitsOf } from '../../models/fixtures/logits.ts'
import { safetensorsOf, type Tensors } from '../../models/testing.ts'
import type { Options } from '../../options.ts'
import type { Job } from '../job/job.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testDemo, testTexts } from '../testing.ts'

const root = await mkdtemp(join(tmpdir(), 'onnx-'))
afterAll(() => rm(root, { recursive: true }))

let gpu: Device
let session: Session
beforeAll(async () => {
  gpu = await testGpu()
  session = new Session(testSource(), testTexts())
  env.allowRemoteModels = false
  env.localModelPath = root
})

async function open(files: Files): Promise<void> {
  const tokenizer = new Blob([await readFile('public/demo/tokenizer.json')])
  await session.open(new Map<string, Bytes>([['tokenizer.json', tokenizer], ...files]), 'model')
}

const openFixture = async (name: string) => open(await fixtureFiles(fixtures.find((one) => one.name === name)!))

/** Quantizes the open model and writes it as ONNX into a folder; then opens what our own reader has of the same result. */
async function exported(options: Options, method = 'rtn'): Promise<string> {
  const run: Job['runs'][number] = { id: 'one', label: 'one', method, options }
  const { host, sinks } = memoryHost(session)
  const { runs } = await runJob(smallJob([run], { save: true, formats: ['gptq', 'onnx'] }), host)
  expect(runs[0].error ?? runs[0].exportError).toBeUndefined()
  const folder = await mkdtemp(join(root, 'm-'))
  const within = (place: string) =>
    [...sinks.get('one')!.files].flatMap(([path, bytes]) => (path.startsWith(place) ? [[path.slice(place.length), bytes] as const] : []))
  for (const [path, bytes] of within('onnx/')) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), bytes)
  }
  await session.open(memoryFiles(within('gptq/')))
  return folder
}

type Cache = Record<string, Tensor>

/** Feeds sequences as transformers.js does. */
class Runner {
  constructor(readonly graph: InferenceSession) {}

  static async open(folder: string, file = 'model_q4.onnx', provider: 'cpu' | 'webgpu' = 'cpu'): Promise<Runner> {
    return new Runner(await InferenceSession.create(join(folder, 'onnx', file), { executionProviders: [provider], logSeverityLevel: 3 }))
  }

  /** `mask` `[rows, T]` covers what is cached too; `keep`: 0 for the logits of all tokens. */
  async run(ids: number[][], mask: number[][], cache: Cache = {}, keep = 0): Promise<{ logits: Float32Array; cache: Cache }> {
    const positions = mask.map((row) => {
      let next = 0
      return row.map((seen) => (seen ? next++ : 1)).slice(-ids[0].length)
    })
    const int64 = (values: number[][]) => new Tensor('int64', BigInt64Array.from(values.flat(), BigInt), [values.length, values[0].length])
    const feeds: Cache = {
      input_ids: int64(ids),
      attention_mask: int64(mask),
      position_ids: int64(positions),
      num_logits_to_keep: new Tensor('int64', BigInt64Array.of(BigInt(keep)), []),
    }
    for (const meta of this.graph.inputMetadata) {
      if (!meta.isTensor || !meta.name.startsWith('past_key_values')) continue
      const [, heads, , width] = meta.shape.map(Number)
      feeds[meta.name] = cache[meta.name] ?? new Tensor('float32', new Float32Array(0), [ids.length, heads, 0, width])
    }
    const { logits, ...present } = await this.graph.run(feeds)
    const kept = Object.entries(present).map(([name, tensor]) => [name.replace('present', 'past_key_values'), tensor] as const)
    return { logits: logits.data as Float32Array, cache: Object.fromEntries(kept) as Cache }
  }
}

/** Largest difference, relative to the largest value expected. */
function far(got: ArrayLike<number>, expected: Float32Array): number {
  const most = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
  return expected.reduce((worst, value, i) => Math.max(worst, Number.isFinite(got[i]) ? Math.abs(got[i] - value) : Infinity), 0) / most
}

const ids = Array.from({ length: 21 }, (_, i) => (i * 37 + 5) % 1000)
const ones = (length: number) => Array<number>(length).fill(1)
/** Products are summed in another order: 1e-6 was seen. */
const CLOSE = 2e-5

/** All at once, in two parts through the cache, and beside a longer row, behind padding. */
async function expectSame(runner: Runner): Promise<void> {
  const expected = await logitsOf(gpu, session.model, ids)
  const { vocab } = session.model.model.shape
  const whole = await runner.run([ids], [ones(21)])
  expect(far(whole.logits, expected)).toBeLessThan(CLOSE)
  const first = await runner.run([ids.slice(0, 9)], [ones(9)], {}, 1)
  expect(far(first.logits, expected.slice(8 * vocab, 9 * vocab))).toBeLessThan(CLOSE)
  const second = await runner.run([ids.slice(9, 20)], [ones(20)], first.cache, 2)
  expect(far(second.logits, expected.slice(18 * vocab, 20 * vocab))).toBeLessThan(CLOSE)
  const last = await runner.run([ids.slice(20)], [ones(21)], second.cache)
  expect(far(last.logits, expected.slice(20 * vocab))).toBeLessThan(CLOSE)
  const padding = 4
  const longer = ids.map((id) => (id + 300) % 1000)
  const padded = [...Array<number>(padding).fill(0), ...ids].slice(0, 21)
  const mask = [ones(21), [...Array<number>(padding).fill(0), ...ones(21 - padding)]]
  const both = await runner.run([longer, padded], mask)
  expect(far(both.logits.slice((21 + padding) * vocab), expected.slice(0, (21 - padding) * vocab))).toBeLessThan(CLOSE)
  const step = await runner.run(
    [[7], [ids[21 - padding]]],
    mask.map((row) => [...row, 1]),
    both.cache,
  )
  expect(far(step.logits.slice(vocab), expected.slice((21 - padding) * vocab, (22 - padding) * vocab))).toBeLessThan(CLOSE)
}

/** A random model of a family with heads of 16, whose tensors are those that the family asks for. */
async function openRandom(name: string, changes: Record<string, unknown>): Promise<void> {
  await openFixture(name)
  const config = {
    ...session.model.folder.config,
    hidden_size: 48,
    intermediate_size: 80,
    head_dim: 16,
    num_attention_heads: 3,
    ...changes,
  }
  const { readModel } = await import('../../models/index.ts')
  const { model } = readModel({ ...config, num_key_value_heads: 1 })
  let state = 3
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  }
  const tensors: Tensors = new Map()
  const add = (tensor: string, shape: number[], spread: number, middle = 0) =>
    tensors.set(tensor, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => middle + spread * next()) })
  add('model.embed_tokens.weight', [model.shape.vocab, model.shape.hidden], 1)
  for (const tensor of model.outer) add(`model.${tensor.name}`, tensor.shape, 0.5, 1)
  for (let k = 0; k < model.shape.blocks; k++) {
    const at = `model.${model.blockPath(k)}`
    for (const { name: vector, length } of model.layouts[k].vectors) add(`${at}.${vector}`, [length], 0.5, vector.endsWith('bias') ? 0 : 1)
    for (const { name: linear, q, p } of linearsOf(model.layouts[k])) add(`${at}.${linear}.weight`, [q, p], 2 / Math.sqrt(p))
  }
  await open(
    memoryFiles([
      ['config.json', JSON.stringify({ ...config, num_key_value_heads: 1, tie_word_embeddings: true })],
      ['model.safetensors', safetensorsOf(tensors)],
    ]),
  )
}

describe('the graph of', () => {
  it.each(['llama-2', 'llama-3.2', 'tinyllama-bf16', 'mistral', 'gemma-2', 'gemma-3'])('%s', async (name) => {
    await openFixture(name)
    await expectSame(await Runner.open(await exported({ bits: 4, groupSize: 32, symmetric: false })))
  })

  it.each([
    ['qwen2', {}],
    ['qwen2-window', { sliding_window: 5 }],
    ['qwen3', {}],
  ])('a random %s', async (name, changes) => {
    await openRandom(name, changes)
    await expectSame(await Runner.open(await exported({ bits: 4, groupSize: 32, symmetric: false })))
  })
})

describe('a checkpoint of', () => {
  it.each([
    [2, 'model_q2.onnx', 'q2'],
    [3, 'model_q4.onnx', 'q4'],
    [4, 'model_q4.onnx', 'q4'],
    [8, 'model_quantized.onnx', 'q8'],
  ])('%d bits in full rows is %s', async (bits, file, dtype) => {
    for (const symmetric of [true, false]) {
      await openRandom('qwen3', {})
      const folder = await exported({ bits, groupSize: -1, symmetric })
      await expectSame(await Runner.open(folder, file))
      const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))
      expect(config['transformers.js_config']).toEqual({ dtype, use_external_data_format: { [file]: 1 } })
    }
  })

  it('some blocks only, and of one whose norms a transform changed', async () => {
    await openFixture('llama-3.2')
    await expectSame(await Runner.open(await exported({ bits: 4, groupSize: 32, symmetric: true, blocks: 1 })))
    await openFixture('gemma-2')
    await expectSame(await Runner.open(await exported({ bits: 4, groupSize: 32 }, 'awq')))
  })
})

describe('on WebGPU', () => {
  it('a checkpoint computes the same', async () => {
    await openFixture('llama-3.2')
    const runner = await Runner.open(await exported({ bits: 4, groupSize: 32, symmetric: false }), 'model_q4.onnx', 'webgpu')
    const expected = await logitsOf(gpu, session.model, ids)
    const { vocab } = session.model.model.shape
    const first = await runner.run([ids.slice(0, 20)], [ones(20)])
    expect(far(first.logits, expected.slice(0, 20 * vocab))).toBeLessThan(CLOSE)
    const last = await runner.run([ids.slice(20)], [ones(21)], first.cache)
    expect(far(last.logits, expected.slice(20 * vocab))).toBeLessThan(CLOSE)
  })

  it('scores are not capped, for which Gemma 2 is said not to run there', async () => {
    const mixed = async (provider: 'cpu' | 'webgpu', softcap: number) => {
      const session = await InferenceSession.create(attentionAlone(softcap), { executionProviders: [provider], logSeverityLevel: 3 })
      const floats = (shift: number) =>
        new Tensor(
          'float32',
          Float32Array.from({ length: 32 }, (_, i) => 4 * Math.sin(i * shift)),
          [1, 4, 8],
        )
      const lengths = { seqlens: new Tensor('int32', Int32Array.of(3), [1]), total: new Tensor('int32', Int32Array.of(4), [1]) }
      const { y } = await session.run({ q: floats(1), k: floats(2), v: floats(3), ...lengths })
      return y.data as Float32Array
    }
    const plain = await mixed('cpu', 0)
    expect(far(await mixed('webgpu', 0), plain)).toBeLessThan(CLOSE)
    expect(far(await mixed('cpu', 1), plain)).toBeGreaterThan(0.1)
    expect(far(await mixed('webgpu', 1), plain)).toBeLessThan(CLOSE)
  })
})

/** One head of 8 that looks at four tokens. */
function attentionAlone(softcap: number): Uint8Array {
  const value = (name: string) => ({ name, type: 'FLOAT', dims: [1, 4, 8] }) as const
  const length = (name: string) => ({ name, type: 'INT32', dims: [1] }) as const
  const node = {
    op: 'GroupQueryAttention',
    domain: 'com.microsoft',
    name: 'y',
    inputs: ['q', 'k', 'v', '', '', 'seqlens', 'total'],
    outputs: ['y'],
    ints: { num_heads: 1, kv_num_heads: 1 },
    floats: { softcap },
    strings: {},
  }
  const inputs = [value('q'), value('k'), value('v'), length('seqlens'), length('total')]
  return encodeModel({ inputs, outputs: [value('y')], nodes: [node], initializers: [] })
}

describe('the demo', () => {
  it('is the same to onnxruntime and to transformers.js: perplexity, 64 tokens by the cache, and the text that they spell', async () => {
    await session.open(await testDemo(), 'demo')
    const folder = await exported({ bits: 4, groupSize: 64 }, 'rtn')
    const runner = await Runner.open(folder)
    const tokenizer = await AutoTokenizer.from_pretrained(basename(folder))
    const text = (await readFile('public/demo/evaluation.txt', 'utf8')).slice(0, 900)
    const { input_ids: tokens } = await tokenizer(text)
    const given = Array.from(tokens.data as BigInt64Array, Number).slice(0, 256)
    const [ours, theirs] = [await logitsOf(gpu, session.model, given), (await runner.run([given], [ones(given.length)])).logits]
    expect(far(theirs, ours)).toBeLessThan(CLOSE)
    expect(surprise(theirs, given)).toBeClose(surprise(ours, given), { relative: 1e-5 })

    const prompt = given.slice(0, 12)
    const greedy = [...prompt]
    let { logits, cache } = await runner.run([prompt], [ones(prompt.length)], {}, 1)
    while (greedy.length < prompt.length + 64) {
      greedy.push(best(logits))
      ;({ logits, cache } = await runner.run([greedy.slice(-1)], [ones(greedy.length)], cache, 1))
    }
    // Given the same tokens, we would have chosen each of them, unless two are as good.
    const again = await logitsOf(gpu, session.model, greedy)
    const { vocab } = session.model.model.shape
    const largest = again.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    for (let i = prompt.length; i < greedy.length; i++) {
      const row = again.subarray((i - 1) * vocab, i * vocab)
      expect((row[best(row)] - row[greedy[i]]) / largest, `token ${i}`).toBeLessThan(CLOSE)
    }
    const model = await AutoModelForCausalLM.from_pretrained(basename(folder))
    const inputs = await tokenizer(tokenizer.decode(prompt, { skip_special_tokens: true }))
    const output = await model.generate({ ...inputs, max_new_tokens: 64, min_new_tokens: 64, do_sample: false })
    const generated = Array.from((output as unknown as { data: BigInt64Array }).data, Number)
    expect(generated).toEqual(greedy.slice(0, generated.length))
    expect(generated.length).toBeGreaterThan(prompt.length)
  })
})

const best = (row: Float32Array) => row.reduce((top, value, i) => (value > row[top] ? i : top), 0)

/** Mean cross-entropy of the next token. */
function surprise(logits: Float32Array, tokens: number[]): number {
  const vocab = logits.length / tokens.length
  const losses = tokens.slice(1).map((token, i) => {
    const row = logits.subarray(i * vocab, (i + 1) * vocab)
    const top = row[best(row)]
    return top + Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0)) - row[token]
  })
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length
}
