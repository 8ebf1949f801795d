/** Whole jobs over the families: every algorithm, written with the family's own names and opened again. */
import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { testGpu, testSource } from '../../gpu/testing.ts'
import type { Bytes } from '../../io/bytes.ts'
import { openFolder } from '../../io/folder.ts'
import { type MemoryStore, memoryFiles, memoryStore } from '../../io/memory.ts'
import { type BlockWeights, linearsOf, stateWidth } from '../../models/family.ts'
import { type Fixture, fixtureFiles, fixtures } from '../../models/fixtures/fixtures.ts'
import { families } from '../../models/index.ts'
import { blockName, openModel } from '../../models/open.ts'
import { disposeBlock, loadBlock } from '../../models/weights.ts'
import { solvers } from '../../quant/index.ts'
import type { Job } from '../job/job.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { applyFolds, memoryHost, smallJob, testTexts } from '../testing.ts'
import { disposeFolds, fold } from '../passes/transform.ts'

const fixture = (name: string) => fixtures.find((one) => one.name === name)!

/** One of each family, the more particular the better. */
const oneOfEach = [
  ...['llama-biased-f16', 'mistral', 'opt-350m', 'bloom', 'falcon-7b', 'qwen2-window', 'qwen3', 'gemma-2', 'gemma-3'],
  ...['ministral-3', 'smollm3', 'olmo2', 'olmo3', 'phi-4-mini', 'granite', 'granite-4', 'qwen3.5', 'gemma-4-e2b'],
].map(fixture)

let session: Session
beforeAll(() => {
  session = new Session(testSource(), testTexts())
})

async function open(one: Fixture) {
  const tokenizer = new Blob([await readFile('public/demo/tokenizer.json')])
  return session.open(new Map<string, Bytes>([...(await fixtureFiles(one)), ['tokenizer.json', tokenizer]]), one.name)
}

describe.each(oneOfEach)('$name', (one) => {
  it('runs every algorithm, and what it writes has the names of the original and measures the same', async () => {
    await open(one)
    const { folder, model } = session.model
    const original = [...folder.checkpoint.tensors.keys()]
    const linears = model.layouts.map((layout, k) => linearsOf(layout).map(({ name }) => blockName(session.model, k, name)))
    // Two of them all blocks, the others the first one: a suite has to end.
    const blocks = (id: string) => (['rtn', 'quantease'].includes(id) ? model.shape.blocks : 1)
    const runs: Job['runs'] = solvers.map(({ id, transform, options }) => ({
      id,
      label: id,
      method: id,
      options: {
        bits: 3,
        blocks: blocks(id),
        ...(options.some(({ key }) => key === 'iterations') ? { iterations: 3 } : {}),
        ...(options.some(({ key }) => key === 'quick') ? { quick: true } : {}),
        ...(transform ? {} : { trueSequential: true }),
      },
    }))
    const evaluation = { text: 'demo-evaluation', samples: 2, length: 32 }
    const job = smallJob(runs, { save: true, evaluation })
    const { host, sinks } = memoryHost(session)
    const report = await runJob(job, host)
    expect(report.runs.map(({ run }) => run)).toEqual(solvers.map(({ id }) => id))
    const error = (id: string) => report.runs.find(({ run }) => run === id)!.meanRelativeError!
    expect(error('quantease')).toBeLessThan(error('rtn'))
    for (const result of report.runs) {
      const quantized = linears.slice(0, blocks(result.run)).flat()
      expect(result.error ?? result.exportError).toBeUndefined()
      expect(result.layers.map(({ name }) => name)).toEqual(quantized)
      await session.open(memoryFiles(sinks.get(result.run)!.files))
      const { checkpoint } = session.model.folder
      const packed = result.export!.checkpoints[0].format === 'gptq'
      const expected = original.flatMap((name) =>
        packed && quantized.includes(name.replace(/\.weight$/, ''))
          ? ['qweight', 'qzeros', 'scales', 'g_idx'].map((part) => name.replace(/weight$/, part))
          : [name],
      )
      expect([...checkpoint.tensors.keys()].sort()).toEqual(expected.sort())
      const again = await runJob({ ...job, runs: [], save: false }, memoryHost(session).host)
      expect(again.fpPerplexity!).toBeClose(result.perplexity!, { relative: 1e-6 })
    }
  })
})

it('norms whose files leave out a 1 come back with it when a killed job goes on', async () => {
  await open(fixture('gemma-2'))
  const job = smallJob([{ id: 'one', label: 'one', method: 'awq', options: { bits: 3 } }], { save: true })
  // The last linear of block 0 is solved, and what the block puts out is not kept yet.
  let journal: MemoryStore | null = null
  const whole = memoryHost(session, (event) => {
    const last = event.type === 'layer' && event.layer.block === 0 && event.layer.name.endsWith('down_proj')
    if (last) journal = memoryStore(new Map([...whole.journal.files].map(([name, bytes]) => [name, bytes.slice()])))
  })
  const [first] = (await runJob(job, whole.host)).runs
  const later = memoryHost(session)
  const [second] = (await runJob(job, { ...later.host, journal: journal! }, { resume: true })).runs
  expect(second.perplexity).toBe(first.perplexity)
  expect(later.sinks.get('one')!.files).toEqual(whole.sinks.get('one')!.files)
})

it('keys and values that blocks share, and what tokens say to blocks, are there when a killed job goes on', async () => {
  await open(fixture('gemma-4-e2b'))
  const job = smallJob([{ id: 'one', label: 'one', method: 'rtn', options: { bits: 3, trueSequential: true } }], { save: true })
  // In a block that borrows; the states before it are kept.
  let journal: MemoryStore | null = null
  const whole = memoryHost(session, (event) => {
    const there = event.type === 'layer' && event.layer.block === 4 && event.layer.name.endsWith('q_proj')
    if (there) journal = memoryStore(new Map([...whole.journal.files].map(([name, bytes]) => [name, bytes.slice()])))
  })
  const [first] = (await runJob(job, whole.host)).runs
  const later = memoryHost(session)
  const [second] = (await runJob(job, { ...later.host, journal: journal! }, { resume: true })).runs
  expect(second.perplexity).toBe(first.perplexity)
  expect(later.sinks.get('one')!.files).toEqual(whole.sinks.get('one')!.files)
})

it('a text model is quantized where it lies, and the rest of its repository stays byte for byte', async () => {
  const files = new Map<string, Bytes>([
    ...(await fixtureFiles(fixture('mistral3'))),
    ['tokenizer.json', new Blob([await readFile('public/demo/tokenizer.json')])],
    ['preprocessor_config.json', new Blob(['{"image_processor_type": "PixtralImageProcessor"}'])],
  ])
  const { familyLabel } = await session.open(files, 'mistral3')
  expect(familyLabel).toBe('Ministral 3, the text model of mistral3')
  const { folder } = session.model
  const { host, sinks } = memoryHost(session)
  const job = smallJob([{ id: 'one', label: 'one', method: 'rtn', options: { bits: 4 } }], { save: true })
  const { runs } = await runJob({ ...job, formats: ['gptq', 'compressed-tensors', 'awq', 'dense'] }, host)
  expect(runs[0].exportError).toBeUndefined()
  for (const format of ['gptq', 'compressed-tensors', 'awq', 'dense']) {
    const all = [...sinks.get('one')!.files].flatMap(([path, file]) =>
      path.startsWith(`${format}/`) ? [[path.slice(format.length + 1), file] as [string, typeof file]] : [],
    )
    const after = await openFolder(memoryFiles(all))
    const quantized = new Set(runs[0].layers.map(({ name }) => `${name}.weight`))
    for (const [name, { dtype, shape }] of folder.checkpoint.tensors) {
      if (quantized.has(name)) continue
      expect(after.checkpoint.tensors.get(name)).toMatchObject({ dtype, shape })
      expect(await after.checkpoint.read(name)).toEqual(await folder.checkpoint.read(name))
    }
    const { quantization_config: told, dtype: _, ...rest } = after.config
    const { dtype: __, ...before } = folder.config
    expect(rest).toEqual(before)
    // Loaders learn from it which modules are whole.
    if (format !== 'dense') for (const part of ['vision_tower', 'multi_modal_projector']) expect(JSON.stringify(told)).toContain(part)
    expect(after.files.has('preprocessor_config.json')).toBe(true)
    await session.open(after.files)
    const again = await runJob({ ...job, runs: [], save: false }, memoryHost(session).host)
    expect(Math.abs(again.fpPerplexity! / runs[0].perplexity! - 1)).toBeLessThan(format === 'dense' ? 1e-2 : 1e-6)
  }
})

describe('families', () => {
  it('each have one that runs every algorithm', async () => {
    const served = await Promise.all(oneOfEach.map(async (one) => openModel(await openFolder(await fixtureFiles(one))).family.id))
    expect(served.sort()).toEqual(families.map(({ id }) => id).sort())
  })

  it.each(fixtures)('$name: scales folded into what comes before leave the output of a block as it was', async (one) => {
    const gpu = await testGpu()
    const opened = openModel(await openFolder(await fixtureFiles(one)))
    const { model } = opened
    const [layout] = model.layouts
    const full = await loadBlock(gpu, opened, 0)
    const inputs = () => new Float32Array(windows.t * (model.perLayer?.width ?? 0)).fill(0.5)
    const windows = { windows: 1, t: 12, inputs }
    const width = stateWidth(model.shape)
    const x = gpu.upload(
      Float32Array.from({ length: windows.t * width }, (_, i) => Math.sin(i * 1.7)),
      [windows.t, width],
    )
    const run = async (weights: BlockWeights) => {
      const steps = model.block(gpu, weights, x, windows, 0)
      let step = await steps.next()
      while (!step.done) step = await steps.next()
      const values = (await gpu.read(step.value)) as Float32Array
      step.value.dispose()
      return values
    }
    const before = await run(full)
    const weights: BlockWeights = new Map(full)
    const scales = layout.stages.map(([{ p }], stage) => Float32Array.from({ length: p }, (_, j) => 4 ** Math.sin(3 * j + stage)))
    const stored = (name: string) => opened.folder.checkpoint.tensors.get(blockName(opened, 0, name))!.dtype
    const { folds } = await fold(gpu, layout, weights, scales, stored, async () => {})
    applyFolds(gpu, weights, folds)
    const after = await run(weights)
    expect(after).toBeClose(before, { ofLargest: 1e-5 })
    for (const [stage, { kind }] of layout.before.entries()) {
      for (const { name } of layout.stages[stage]) {
        expect(weights.get(`${name}.weight`) !== full.get(`${name}.weight`)).toBe(
          kind !== 'none' || layout.before.some((other) => other.kind === 'linear' && other.name === name),
        )
      }
    }
    for (const [name, tensor] of weights) if (tensor !== full.get(name)) tensor.dispose()
    disposeFolds(folds)
    x.dispose()
    disposeBlock(full)
  })
})
