/**
 * Export format of codes, grid and outliers exactly as solved, one file per linear: for results that no common format can store, at their
 * true size. sidecar/FORMAT.md is the schema, sidecar/loader.py reads it in Python; both are copied into every folder.
 *
 * A file for each linear, since how many outliers there are is known only once it is solved.
 *
 * Typed arrays stand for little-endian files here: there is no WebGPU on a big-endian machine.
 */
import type { SolvedLinear } from '../../quant/linear.ts'
import { words } from '../bits.ts'
import type { Bytes, Files } from '../bytes.ts'
import { f16ToF32, f32ToF16 } from '../half.ts'
import { openCheckpoint, packSafetensors, type TensorSpec } from '../safetensors.ts'
import { denseLayout } from './dense.ts'
import { configWith, eachGrid, type ExportFormat, type LinearPlan, wholeEnds, gridName } from './format.ts'
import { type SafetensorsLayout, safetensorsFolder } from './safetensors-folder.ts'

/** Header of a linear's file, bytes, at most. */
const HEADER = 800

const pathOf = (name: string) => `quantized/${name}.safetensors`

const layout: SafetensorsLayout = {
  tensorsFor: () => [],
  filesBytes: ({ linears }) => linears.reduce((sum, linear) => sum + atMost(linear), 0),

  async encode({ name, solved }) {
    return { tensors: new Map(), files: new Map([[pathOf(name), packSafetensors(encodeSidecar(solved))]]), content: contentOf(solved) }
  },

  async open(files: Files) {
    return async ({ name, q, p, bits }) => {
      const file = files.get(pathOf(name))
      const solved = file ? await readSidecar(file) : null
      return solved && solved.q === q && solved.p === p && solved.bits === bits ? contentOf(solved) : null
    }
  },

  declares: denseLayout.declares,

  configFiles(originalText, { settings }, declared) {
    const { bits, groupSize, symmetric, method } = settings
    const config = { quant_method: 'quantease-sidecar', version: 1, bits, group_size: groupSize, sym: symmetric, algorithm: method }
    return [{ path: 'config.json', text: configWith(originalText, declared, { quantization_config: config }) }]
  },

  async companions() {
    const [schema, loader] = await Promise.all([import('./sidecar/FORMAT.md?raw'), import('./sidecar/loader.py?raw')])
    return [
      { path: 'FORMAT.md', text: schema.default },
      { path: 'loader.py', text: loader.default },
    ]
  },
}

export const sidecar: ExportFormat = {
  id: 'sidecar',
  label: 'Codes and outliers',
  summary:
    'safetensors with codes, grid and sparse outliers exactly as solved, at their true size: for research, with a short Python loader.',
  library: null,
  stores: 'codes',
  accepts: wholeEnds(
    'Its loader takes',
    eachGrid((plan) => {
      if (plan.levels === 'uniform') return null
      const why = `It can store uniform integer grids only, not ${gridName(plan)}.`
      return { why, instead: 'Choose a uniform grid, or the format “Plain weights” (dense).' }
    }),
  ),
  rounds: () => null,
  remarks: () => [],
  ...safetensorsFolder(layout),
  compatibility: () => [
    {
      runtime: 'Python (loader.py)',
      loads: true,
      note: 'Yes, with numpy and safetensors: weights in float32.',
      command: 'python {folder}/loader.py {folder}',
    },
  ],
}

/** A linear's tensors, as FORMAT.md has them. */
export function encodeSidecar(solved: SolvedLinear): [TensorSpec, Uint8Array][] {
  const { q, p, bits, groups, groupSize, codes, grid, groupIndex, outliers } = solved
  const perRow = words(p, bits)
  const rows = new Uint32Array(codes.length)
  for (let word = 0; word < perRow; word++) for (let n = 0; n < q; n++) rows[n * perRow + word] = codes[word * q + n]
  const zeros = Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i + 1] + 0)
  const whole = zeros.every((zero) => Number.isInteger(zero) && zero >= 0 && zero < 256)
  const tensors = [
    tensor('layout', 'I32', [4], Int32Array.of(q, p, bits, groupSize)),
    tensor('codes', 'U32', [q, perRow], rows),
    floats(
      'scales',
      [groups, q],
      Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i]),
    ),
    whole ? tensor('zeros', 'U8', [groups, q], Uint8Array.from(zeros)) : tensor('zeros', 'F32', [groups, q], zeros),
  ]
  if (groupIndex.some((group, k) => group !== Math.floor(k / groupSize))) tensors.push(tensor('group_index', 'I32', [p], groupIndex))
  if (outliers) tensors.push(...encodeOutliers(solved, outliers))
  return tensors
}

/** By rows: the solver has them by columns, `at` = k·q + n. */
function encodeOutliers({ q, p }: SolvedLinear, { at, values }: NonNullable<SolvedLinear['outliers']>): [TensorSpec, Uint8Array][] {
  const starts = new Uint32Array(q + 1)
  for (const one of at) starts[(one % q) + 1]++
  for (let n = 0; n < q; n++) starts[n + 1] += starts[n]
  const next = starts.slice()
  const columns = p > 65536 ? new Uint32Array(at.length) : new Uint16Array(at.length)
  const sorted = new Float32Array(at.length)
  at.forEach((one, i) => {
    const place = next[one % q]++
    columns[place] = Math.floor(one / q)
    sorted[place] = values[i]
  })
  return [
    tensor('outlier_starts', 'U32', [q + 1], starts),
    tensor('outlier_columns', p > 65536 ? 'U32' : 'U16', [at.length], columns),
    floats('outlier_values', [at.length], sorted),
  ]
}

/** A linear from its file; null where that does not hold one. */
export async function readSidecar(file: Bytes): Promise<SolvedLinear | null> {
  const checkpoint = await openCheckpoint(new Map([['linear.safetensors', file]]))
  const load = async (name: string) => {
    const entry = checkpoint.tensors.get(name)
    return entry ? decode(entry.dtype, (await checkpoint.read(name)).buffer) : null
  }
  const names = ['layout', 'codes', 'scales', 'zeros', 'group_index', 'outlier_starts', 'outlier_columns', 'outlier_values']
  const [sizes, rows, scales, zeros, index, starts, columns, values] = await Promise.all(names.map(load))
  if (sizes?.length !== 4 || !rows || !scales || !zeros) return null
  const [q, p, bits, groupSize] = sizes
  const perRow = words(p, bits)
  const groups = scales.length / q
  if (rows.length !== q * perRow || zeros.length !== scales.length || groups !== Math.ceil(p / groupSize)) return null
  const codes = Uint32Array.from({ length: q * perRow }, (_, i) => rows[(i % q) * perRow + Math.floor(i / q)])
  const grid = Float32Array.from({ length: 2 * scales.length }, (_, i) => (i & 1 ? zeros : scales)[i >> 1])
  const groupIndex = index ? Int32Array.from(index) : Int32Array.from({ length: p }, (_, k) => Math.floor(k / groupSize))
  const outliers = starts && columns && values ? decodeOutliers(q, starts, columns, values) : null
  return { bits: bits as SolvedLinear['bits'], q, p, groupSize, groups, codes, grid, groupIndex, outliers }
}

function decodeOutliers(q: number, starts: Numbers, columns: Numbers, values: Numbers): NonNullable<SolvedLinear['outliers']> {
  const entries: [at: number, value: number][] = []
  for (let n = 0; n < q; n++) for (let i = starts[n]; i < starts[n + 1]; i++) entries.push([columns[i] * q + n, values[i]])
  entries.sort((a, b) => a[0] - b[0])
  return { at: Uint32Array.from(entries, ([at]) => at), values: Float32Array.from(entries, ([, value]) => value) }
}

type Numbers = Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array

function decode(dtype: string, buffer: ArrayBuffer): Numbers | null {
  if (dtype === 'F16') return f16ToF32(new Uint16Array(buffer))
  const types = { F32: Float32Array, I32: Int32Array, U32: Uint32Array, U16: Uint16Array, U8: Uint8Array }
  return dtype in types ? new types[dtype as keyof typeof types](buffer) : null
}

/** What reading has to find again; a kernel may leave −0 for a zero point. */
function contentOf({ codes, grid, groupIndex, outliers }: SolvedLinear): ArrayBufferView[] {
  return [codes, grid.map((value) => value + 0), groupIndex, ...(outliers ? [outliers.at, outliers.values] : [])]
}

function tensor(name: string, dtype: string, shape: number[], data: ArrayBufferView): [TensorSpec, Uint8Array] {
  return [{ name, dtype, shape }, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]
}

/** In float16 where that holds every value exactly. */
function floats(name: string, shape: number[], values: Float32Array): [TensorSpec, Uint8Array] {
  const halves = f32ToF16(values)
  const exact = f16ToF32(halves).every((value, i) => Object.is(value, values[i]))
  return exact ? tensor(name, 'F16', shape, halves) : tensor(name, 'F32', shape, values)
}

/** Bytes of a linear's file: all of float32, and as many outliers as the method expects. */
function atMost({ q, p, bits, groups, outliers }: LinearPlan): number {
  const sparse = outliers ? 4 * (q + 1) + outliers * (4 + (p > 65536 ? 4 : 2)) : 0
  return HEADER + 4 * q * words(p, bits) + 8 * groups * q + 4 * p + sparse
}
