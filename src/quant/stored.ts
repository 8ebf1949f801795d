/** A solved linear on the host: all that a journal keeps and a checkpoint is made of. */
import type { Gpu } from '../gpu/device.ts'
import { add, unpack } from '../gpu/ops.ts'
import { elementsOf, rowPanels, rowsOf } from '../gpu/panels.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { PackedLinear } from './packed.ts'
import type { QuantizedLinear } from './solver.ts'

/** The largest float16, and where those below have five bits left. */
const MOST_HALF = 65504
const FEW_DIGITS = 2 ** -19

/** Enough to make the weights again, bit for bit: what was left of W on the GPU depends on nothing else. */
export interface StoredLinear extends Pick<PackedLinear, 'bits' | 'q' | 'p' | 'groupSize' | 'groups' | 'codes' | 'groupIndex'> {
  /** (scale, zero) `[groups, q, 2]` f32; not every method keeps its zeros whole. */
  grid: Float32Array
  /** Entries of H that are not +0: where in `[p, q]`, and what. */
  outliers: { at: Uint32Array; values: Float32Array } | null
}

/** Packs codes on the GPU and brings the result to the host, in one wait. */
export function store(gpu: Gpu, result: QuantizedLinear, bits: PackedLinear['bits']): Reading<StoredLinear> {
  const [p, q] = [result.codes.rows, result.codes.cols]
  const words = Math.ceil((p * bits) / 32)
  const packed = gpu.empty([words, q], 'u32')
  // 32 codes fill whole words, whatever their bits.
  for (const panel of rowPanels(gpu, p, [q], 32)) {
    const first = (panel.first / 32) * bits
    const some = Math.ceil((panel.count * bits) / 32)
    const to = elementsOf(gpu, packed, first * q, (first + some) * q)
    const shape = { q, p: panel.count, bits, words: some, start: first * q - to.start }
    gpu.run1d('pack', { codes: rowsOf(result.codes, panel), packed: to.tensor }, shape, some * q)
  }
  const h = result.outliers ? gpu.read(result.outliers.h).map((dense) => sparse(dense as Float32Array<ArrayBuffer>)) : Reading.of(null)
  const asked = Reading.all([gpu.read(packed), gpu.read(result.grid), h])
  packed.dispose()
  const { groupSize, groups, groupIndex } = result
  return asked.map(([codes, grid, found]) => {
    // A method that chooses its outliers on the GPU may have found none.
    const outliers = found?.at.length ? found : null
    return { bits, q, p, groupSize, groups, codes: codes as Uint32Array, grid: grid as Float32Array, groupIndex, outliers }
  })
}

/** Ŵ + H `[p, q]`, as the run used it. */
export function restore(gpu: Gpu, stored: StoredLinear): Tensor {
  const { q, p, grid, outliers } = stored
  const scales = new Float32Array(grid.length / 2).map((_, i) => grid[2 * i])
  const zeros = new Float32Array(grid.length / 2).map((_, i) => grid[2 * i + 1])
  const what = unpack(gpu, { ...stored, scales, zeros })
  if (outliers) {
    const values = new Float32Array(p * q)
    outliers.at.forEach((at, i) => {
      values[at] = outliers.values[i]
    })
    const h = gpu.upload(values, [p, q])
    add(gpu, what, h)
    h.dispose()
  }
  return what
}

/** Scales that are stored as float16 and do not fit it well: a note each way, or none. */
export function scaleNotes({ grid }: StoredLinear): { beyond: string | null; below: string | null } {
  let [beyond, below] = [0, 0]
  for (let i = 0; i < grid.length; i += 2) {
    if (grid[i] >= MOST_HALF) beyond++
    if (grid[i] < FEW_DIGITS) below++
  }
  const share = (count: number) => `${count} of ${grid.length / 2} scales`
  return {
    beyond: beyond ? `${share(beyond)} pass 65504, the largest float16, and are cut to it: those weights are lost.` : null,
    below: below ? `${share(below)} lie below 2e-6, where float16 has few digits: those rows are rounded coarsely.` : null,
  }
}

/** As checkpoint formats store it, which have no place for outliers. */
export function pack({ bits, q, p, groupSize, groups, codes, grid, groupIndex }: StoredLinear, symmetric: boolean): PackedLinear {
  const scales = Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i])
  const zeros = Uint8Array.from({ length: groups * q }, (_, i) => grid[2 * i + 1])
  return { bits, q, p, groupSize, groups, codes, scales, zeros, groupIndex, symmetric }
}

function sparse(dense: Float32Array<ArrayBuffer>): NonNullable<StoredLinear['outliers']> {
  // By bits: −0 added to −0 is not what +0 would leave.
  const bits = new Uint32Array(dense.buffer, dense.byteOffset, dense.length)
  const at = new Uint32Array(bits.reduce((count, word) => count + Number(word !== 0), 0))
  let next = 0
  bits.forEach((word, i) => {
    if (word) at[next++] = i
  })
  return { at, values: Float32Array.from(at, (i) => dense[i]) }
}
