import { beforeAll, describe, expect, test } from 'vitest'
import { linearsOf } from '../../models/family.ts'
import { fixtureFiles, fixtures } from '../../models/fixtures/fixtures.ts'
import { blockName, type OpenModel, openModel } from '../../models/open.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { words } from '../bits.ts'
import { openFolder } from '../folder.ts'
import { memorySink } from '../memory.ts'
import type { ExportPlan, ExportSettings } from './format.ts'
import { layoutOf } from './onnx/layout.ts'
import { decodeModel } from './onnx/proto.ts'
import { onnx } from './onnx.ts'

const settings: ExportSettings = {
  bits: 4,
  groupSize: 32,
  actOrder: false,
  symmetric: false,
  trueSequential: true,
  method: 'rtn',
  iterations: 0,
  mse: 0,
  staticGroups: false,
  dynamicSkips: [],
  dtype: 'F32',
}

let opened: OpenModel
beforeAll(async () => {
  opened = openModel(await openFolder(await fixtureFiles(fixtures.find(({ name }) => name === 'llama-3.2')!)))
})

function planOf(changes: Partial<ExportSettings> = {}, more: Partial<ExportPlan> = {}): ExportPlan {
  const { model, prefix, embedding, head, folder } = opened
  const all = { ...settings, ...changes }
  const linears = Array.from({ length: model.shape.blocks }, (_, k) =>
    linearsOf(model.layouts[k]).map(({ name, q, p }) => {
      const groups = all.groupSize === -1 ? 1 : Math.ceil(p / all.groupSize)
      return { name: blockName(opened, k, name), q, p, bits: all.bits, groups, dtype: all.dtype }
    }),
  ).flat()
  const quantized = new Set(linears.map(({ name }) => `${name}.weight`))
  return {
    settings: all,
    linears,
    levels: 'uniform',
    outliers: false,
    copied: [...folder.checkpoint.tensors.values()].filter(({ name }) => !quantized.has(name)),
    changed: [],
    decoder: { ...model.decoder!, prefix, embedding, head },
    model: {} as ExportPlan['model'],
    ...more,
  }
}

/** Codes that count up, zero points and scales that differ from row to row. */
function solvedOf({ q, p, bits, groups }: ExportPlan['linears'][number]): SolvedLinear {
  return {
    bits,
    q,
    p,
    groupSize: Math.ceil(p / groups),
    groups,
    codes: Uint32Array.from({ length: words(p, bits) * q }, (_, i) => Math.imul(i, 0x9e3779b1)),
    grid: Float32Array.from({ length: 2 * groups * q }, (_, i) => (i & 1 ? i % 2 ** bits : 1 / (i + 2))),
    groupIndex: new Int32Array(p),
    outliers: null,
  }
}

async function write(plan: ExportPlan) {
  const sink = memorySink()
  const stream = onnx.write(plan, opened.folder, sink)
  await stream.copy(async () => {})
  for (const linear of plan.linears) await stream.linear(linear.name, solvedOf(linear), async () => null as never)
  return { sink, stream, files: await stream.finish(1) }
}

describe('what ONNX cannot hold is refused with what it can', () => {
  test.each([
    [{}, { decoder: null }, 'ONNX graphs are supported for', 'another format'],
    [{}, { levels: 'powers' }, 'uniform integer grids only, not POWERS', 'uniform grid'],
    [{}, { outliers: true }, 'cannot store outliers', 'Choose an algorithm without outliers'],
    [{ actOrder: true }, {}, 'consecutive inputs', 'static groups'],
    [{ groupSize: 48 }, {}, 'not of 48', '32, 64 or 128'],
    [{ groupSize: 8 }, {}, 'not of 8', '32, 64 or 128'],
  ])('%j %j', (changes, more, why, instead) => {
    const plan = planOf(changes, more as Partial<ExportPlan>)
    expect(onnx.accepts(plan)).toEqual({ why: expect.stringContaining(why), instead: expect.stringContaining(instead) })
    expect(onnx.bytes(plan)).toBe(0)
  })

  test('heads that its attention does not take, and nothing else', () => {
    const plan = planOf()
    expect(onnx.accepts(plan)).toBeNull()
    expect(onnx.accepts({ ...plan, decoder: { ...plan.decoder!, headDim: 12 } })?.why).toContain('not 12')
  })
})

test('what is larger or rounded in the file is said', () => {
  const messages = (changes: Partial<ExportSettings>) => onnx.remarks(planOf(changes)).map(({ message }) => message)
  expect(messages({})).toEqual([])
  expect(messages({ bits: 3 })).toEqual([expect.stringContaining('4 bits each')])
  // Rows of 32 have one block, rows of 44 two of 32: a scale more in 44 · 32 weights of 3 · 32 · 44 + 96 · 32.
  expect(messages({ groupSize: -1 })).toEqual([expect.stringMatching(/blocks of 32 inputs, 0\.14 bits per weight more/)])
  expect(messages({ dtype: 'BF16' })).toEqual([expect.stringContaining('rounded, by at most 3e-8')])
})

test('where it runs, and where not', () => {
  const loads = (plan: ExportPlan) => Object.fromEntries(onnx.compatibility(plan).map((one) => [one.runtime, one.loads]))
  const plan = planOf()
  expect(new Set(Object.values(loads(plan)))).toEqual(new Set([true]))
  const capped = loads({ ...plan, decoder: { ...plan.decoder!, scoreCap: 50 } })
  expect(Object.keys(capped).filter((runtime) => !capped[runtime])).toEqual(['transformers.js (browser, WebGPU)'])
  const large = { ...plan, copied: plan.copied.map((one) => (one.name === opened.head ? { ...one, shape: [2 ** 20, 1024] } : one)) }
  expect(Object.keys(loads(large)).filter((runtime) => !loads(large)[runtime])).toHaveLength(2)
})

test('files are as large as was planned, and no tensor lies across two', async () => {
  const plan = planOf()
  const { files, sink } = await write(plan)
  const data = files.find(({ path }) => path === 'onnx/model_q4.onnx_data')!
  expect(data.bytes).toBe(onnx.bytes(plan))
  const { external } = decodeModel(sink.files.get('onnx/model_q4.onnx')!)
  const layout = layoutOf(plan, plan.decoder!)
  expect([...external.keys()].sort()).toEqual([...layout.tensors.keys()].sort())
  const cut = layoutOf(plan, plan.decoder!, 6_000)
  expect(cut.files.length).toBeGreaterThan(3)
  const places = [...cut.tensors.values()].map(({ file, offset, bytes }) => [file, offset, offset + bytes])
  places.forEach(([file, from], i) => {
    const [before, , end] = places[i - 1] ?? [file, 0, 0]
    expect(file === before ? from >= end : file === before + 1 && from === 0).toBe(true)
  })
  for (const [i, size] of cut.files.entries()) {
    const inside = [...cut.tensors.values()].filter(({ file }) => file === i)
    expect(size <= 6_000 || inside.length === 1).toBe(true)
  }
})

describe('reading back', () => {
  test('finds what was written', async () => {
    const { stream } = await write(planOf())
    await stream.verify(async () => {})
  })

  test('notices a byte that changed, in each part of a linear', async () => {
    const plan = planOf()
    const { external } = decodeModel((await write(plan)).sink.files.get('onnx/model_q4.onnx')!)
    const { name } = plan.linears[5]
    for (const part of ['qweight', 'scales', 'qzeros']) {
      const { sink, stream } = await write(plan)
      const { offset, length } = external.get(`${name}.${part}`)!
      sink.files.get('onnx/model_q4.onnx_data')![offset + length - 1] ^= 1
      await expect(stream.verify(async () => {})).rejects.toMatchObject({
        code: 'storage-failed',
        message: expect.stringContaining(`${name}.${part}`),
      })
    }
  })
})
