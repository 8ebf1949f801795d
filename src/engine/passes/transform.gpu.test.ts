import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { batched } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { inFloats, scale } from '../../gpu/ops.ts'
import { testGpu, testSource } from '../../gpu/testing.ts'
import type { Files } from '../../io/bytes.ts'
import { openFolder } from '../../io/folder.ts'
import { f32ToBf16, f32ToF16 } from '../../io/half.ts'
import { memoryFiles, memorySink } from '../../io/memory.ts'
import { CheckpointWriter } from '../../io/safetensors.ts'
import type { BlockWeights } from '../../models/family.ts'
import { fixtureFiles, fixtures } from '../../models/fixtures/fixtures.ts'
import { safetensorsOf, type TinyConfig, tinyTensors } from '../../models/testing.ts'
import { disposeBlock, loadBlock } from '../../models/weights.ts'
import { type OpenModel, openModel } from '../../models/open.ts'
import { objective } from '../../quant/rounding.ts'
import { examine } from '../plan/check.ts'
import type { Job } from '../job/job.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { applyFolds, memoryHost, smallJob, testTexts, tinyConfig } from '../testing.ts'
import { foldedVectors } from '../plan/folded.ts'
import { disposeFolds, fold } from './transform.ts'

const shared = tinyConfig
const biased: TinyConfig = { ...shared, num_key_value_heads: 4, attention_bias: true, mlp_bias: true }

type Stored = 'F32' | 'F16' | 'BF16'

/** A random model, stored in a dtype of one's choice. */
async function tinyFiles(config: TinyConfig, dtype: Stored): Promise<Files> {
  const tensors = tinyTensors(config, 3)
  let model: Uint8Array<ArrayBuffer> = safetensorsOf(tensors)
  if (dtype !== 'F32') {
    const sink = memorySink()
    const specs = [...tensors].map(([name, { shape }]) => ({ name, shape, dtype }))
    const writer = new CheckpointWriter(sink, specs)
    for (const [name, { data }] of tensors) {
      await writer.write(name, new Uint8Array((dtype === 'F16' ? f32ToF16(data) : f32ToBf16(data)).buffer))
    }
    await writer.finish()
    model = sink.files.get('model.safetensors')!
  }
  return memoryFiles([
    ['config.json', JSON.stringify(config)],
    ['model.safetensors', model],
    ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
  ])
}

/** A fixture with all of its tensors in another dtype. */
async function storedAs(name: string, dtype: Exclude<Stored, 'F32'>): Promise<Files> {
  const files = await fixtureFiles(fixtures.find((one) => one.name === name)!)
  const { checkpoint } = await openFolder(files)
  const tensors = [...checkpoint.tensors.values()]
  const sink = memorySink()
  const writer = new CheckpointWriter(
    sink,
    tensors.map(({ name, shape }) => ({ name, shape, dtype })),
  )
  for (const { name } of tensors) {
    const values = new Float32Array((await checkpoint.read(name)).buffer)
    await writer.write(name, new Uint8Array((dtype === 'F16' ? f32ToF16(values) : f32ToBf16(values)).buffer))
  }
  await writer.finish()
  return new Map([...files, ...memoryFiles([...sink.files])])
}

/** A block in f32, to read it. */
async function wideBlock(opened: OpenModel): Promise<BlockWeights> {
  const gpu = await testGpu()
  return new Map([...(await loadBlock(gpu, opened, 0))].map(([name, tensor]) => [name, inFloats(gpu, tensor)]))
}

describe('folding', () => {
  let gpu: Device
  beforeAll(async () => {
    gpu = await testGpu()
  })

  const cases = [shared, biased].flatMap((config) =>
    (['F32', 'F16', 'BF16'] as const).flatMap((dtype) => [0, 1, 2, 3, -1].map((stage) => ({ config, dtype, stage }))),
  )

  it.each(cases)(
    'leaves the output of the block as it was: $config.num_key_value_heads key/value heads, $dtype, stage $stage',
    async (one) => {
      const opened = openModel(await openFolder(await tinyFiles(one.config, one.dtype)))
      const { model } = opened
      const [layout] = model.layouts
      const full = await wideBlock(opened)
      const [batch] = batched([Int32Array.from({ length: 13 }, (_, i) => i)], 1)
      const x = gpu.upload(
        Float32Array.from({ length: batch.t * 32 }, (_, i) => Math.sin(i * 1.7)),
        [batch.t, 32],
      )
      const run = async (weights: BlockWeights) => {
        const steps = model.block(gpu, weights, x, batch, 0)
        let step = await steps.next()
        while (!step.done) step = await steps.next()
        const values = (await gpu.read(step.value)) as Float32Array
        step.value.dispose()
        return values
      }
      const gramOf = (p: number) =>
        gpu.upload(
          Float32Array.from({ length: p * p }, (_, i) => (i % (p + 1) ? 0.1 : 1 + (i % 7))),
          [p, p],
        )
      const grams = layout.stages.map(([{ p }]) => gramOf(p))
      const errors = () => Promise.all(layout.stages.map(([{ name }], i) => objective(gpu, weights.get(`${name}.weight`)!, grams[i])))

      const weights: BlockWeights = new Map(full)
      const [before, felt] = [await run(weights), await errors()]
      const scales = layout.stages.map(([{ p }], stage) =>
        one.stage === stage || one.stage < 0 ? Float32Array.from({ length: p }, (_, j) => 10 ** Math.sin(3 * j + stage)) : null,
      )
      const dtype = (name: string) => opened.folder.checkpoint.tensors.get(`model.layers.0.${name}`)!.dtype
      const { vectors, folds } = await fold(gpu, layout, weights, scales, dtype, async (stage, by) => {
        scale(gpu, grams[stage], { rows: by, cols: by })
      })
      applyFolds(gpu, weights, folds)
      const largest = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      const after = await run(weights)
      expect(after.reduce((most, value, i) => Math.max(most, Math.abs(value - before[i])), 0) / largest).toBeLessThan(1e-5)
      // Every stage's first linear weighs as much as before on its new inputs (none of them is folded into).
      for (const [i, value] of (await errors()).entries()) expect(value).toBeClose(felt[i], { relative: 1e-5 })

      const takes = layout.before.filter(({ kind }, stage) => scales[stage] && kind !== 'none')
      expect(weights.size).toBe(full.size)
      expect(vectors.size).toBe(takes.filter(({ kind }) => kind === 'norm' || one.config.attention_bias).length)
      if (one.stage < 0) expect([...vectors.keys()].sort()).toEqual(foldedVectors(layout).sort())
      expect([...folds].flatMap(([name, { outputs }]) => (outputs ? [name] : []))).toEqual(
        takes.flatMap((before) => (before.kind === 'linear' ? [before.name] : [])),
      )
      // What is stored is what was used.
      for (const [name, bytes] of vectors) {
        const used = (await gpu.read(weights.get(name)!)) as Float32Array
        const stored = { F32: () => used, F16: () => f32ToF16(used), BF16: () => f32ToBf16(used) }[one.dtype]()
        expect(bytes).toEqual(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength))
      }

      for (const [name, tensor] of weights) if (tensor !== full.get(name)) tensor.dispose()
      disposeFolds(folds)
      for (const tensor of [...grams, x]) tensor.dispose()
      disposeBlock(full)
    },
  )
})

describe('folding into a norm with a bias', () => {
  // The weight is exact, for c follows its rounding; the bias is rounded to its dtype, by at most this part of itself.
  it.each([
    ['bloom', 'F16', 2 ** -11],
    ['bloom', 'BF16', 2 ** -8],
    ['opt', 'BF16', 2 ** -8],
    ['falcon-rw-1b', 'F16', 2 ** -11],
  ] as const)('%s in %s', async (name, dtype, rounding) => {
    const gpu = await testGpu()
    const opened = openModel(await openFolder(await storedAs(name, dtype)))
    const { model } = opened
    const [layout] = model.layouts
    const full = await wideBlock(opened)
    const weights: BlockWeights = new Map(full)
    const scales = layout.stages.map(([{ p }], stage) => Float32Array.from({ length: p }, (_, j) => 4 ** Math.sin(3 * j + stage)))
    const { vectors, folds } = await fold(
      gpu,
      layout,
      weights,
      scales,
      () => dtype,
      async () => {},
    )
    applyFolds(gpu, weights, folds)
    expect([...vectors.keys()].sort()).toEqual(foldedVectors(layout).sort())
    const values = async (of: BlockWeights, name: string) => (await gpu.read(of.get(name)!)) as Float32Array
    for (const [stage, before] of layout.before.entries()) {
      if (before.kind !== 'norm') continue
      const linear = layout.stages[stage][0]
      const divided = folds.get(linear.name)?.outputs
      const first = divided ? ((await gpu.read(divided)) as Float32Array)[0] : 1
      const of = async (name: string) => [await values(full, name), await values(weights, name)]
      const [[g, newG], [b, newB], [w, newW]] = [
        await of(`${before.name}.weight`),
        await of(`${before.name}.bias`),
        await of(`${linear.name}.weight`),
      ]
      for (let j = 0; j < linear.p; j++) {
        // What the linear took over, seen in its first output, which may have been divided besides.
        const c = (newW[j * linear.q] / w[j * linear.q]) * first
        expect(newG[j] * c).toBeClose(g[j], { absolute: 5e-7 * Math.abs(g[j]) })
        expect(newB[j] * c).toBeClose(b[j], { absolute: (rounding + 5e-7) * Math.abs(b[j]) + 1e-7 })
      }
    }
    for (const [name, bytes] of vectors) {
      const used = await values(weights, name)
      const stored = dtype === 'F16' ? f32ToF16(used) : f32ToBf16(used)
      expect(bytes).toEqual(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength))
    }
    for (const [name, tensor] of weights) if (tensor !== full.get(name)) tensor.dispose()
    disposeFolds(folds)
    disposeBlock(full)
  })
})

describe('AWQ over a whole model', () => {
  let session: Session
  beforeAll(() => {
    session = new Session(testSource(), testTexts())
  })

  const spec = (method: string, options: Job['runs'][0]['options']) => ({ id: method, label: method, method, options })

  it.each([
    ['one value head for two query heads, F32, groups', shared, 'F32', { bits: 4, groupSize: 32 }],
    ['biases everywhere, BF16, full rows', biased, 'BF16', { bits: 3 }],
    ['biases everywhere, F16, only the first block, no clipping', biased, 'F16', { bits: 3, groupSize: 32, clip: false, blocks: 1 }],
  ] as const)('%s: measured as stored', async (_, config, dtype, options) => {
    const files = await tinyFiles(config, dtype)
    await session.open(files, 'tiny')
    const gpu = await session.gpu()
    gpu.trim()
    const held = gpu.memory.held
    const { clip: _clip, ...plain } = { clip: true, ...options }
    const job = smallJob([spec('awq', { ...options }), spec('rtn', plain)], { save: true })
    const { check } = await examine(job, session)
    const { host, sinks, events } = memoryHost(session)
    const [result, rtn] = (await runJob(job, host)).runs
    expect(result.error ?? result.exportError).toBeUndefined()
    expect(gpu.memory.held).toBe(held)
    expect(check.runs[0].bitsPerWeight).toBeCloseTo(result.bitsPerWeight, 10)
    expect(result.meanRelativeError!).toBeLessThan(rtn.meanRelativeError!)
    expect(events.filter(({ type }) => type === 'progress').every((event) => event.type !== 'progress' || event.done <= 1)).toBe(true)

    const told = result.layers.filter(({ notes }) => notes.some((note) => note.includes('left unscaled')))
    expect(told.map(({ name }) => name)).toEqual(
      config === shared ? ['model.layers.0.self_attn.o_proj', 'model.layers.1.self_attn.o_proj'] : [],
    )

    const written = await openFolder(memoryFiles(sinks.get('awq')!.files))
    const original = await openFolder(files)
    // The norms of every quantized block changed (α = 0 would leave one alone), those of the others did not.
    for (const k of [0, 1]) {
      let changed = 0
      for (const vector of foldedVectors(session.model.model.layouts[0])) {
        const name = `model.layers.${k}.${vector}`
        const { bytes } = original.checkpoint.tensors.get(name)!
        expect(written.checkpoint.tensors.get(name)).toMatchObject({ dtype, bytes })
        const [a, b] = await Promise.all([written, original].map(({ checkpoint }) => checkpoint.readRange(name, 0, bytes)))
        changed += Number(!Buffer.from(a).equals(b))
      }
      expect(changed > 0).toBe(!('blocks' in options && k > 0))
    }

    await session.open(memoryFiles(sinks.get('awq')!.files))
    expect(session.model.folder.packing).toMatchObject({ bits: options.bits, symmetric: false, label: 'GPTQ v2' })
    const again = await runJob({ ...job, runs: [], save: false }, memoryHost(session).host)
    expect(again.fpPerplexity!).toBeClose(result.perplexity!, { relative: 1e-5 })
  })

  it('says that true-sequential changes nothing, and stores that it did not', async () => {
    await session.open(await tinyFiles(shared, 'F32'), 'tiny')
    const job = smallJob([spec('awq', { bits: 4, trueSequential: true })], { save: true })
    const { check } = await examine(job, session)
    expect(check.problems.find(({ field }) => field === 'runs.0.options.trueSequential')).toMatchObject({
      severity: 'note',
      message: expect.stringMatching(/^AWQ .* has no effect/),
    })
    const { host, sinks } = memoryHost(session)
    expect((await runJob(job, host)).runs[0].state).toBe('finished')
    const config = JSON.parse(new TextDecoder().decode(sinks.get('awq')!.files.get('quantize_config.json')))
    expect(config).toMatchObject({ true_sequential: false, sym: false, meta: { algorithm: 'awq', mse: 0 } })
  })
})
