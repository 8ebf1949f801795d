/** A solved linear on the host, as the journal stores it and as checkpoints are written from and read into. */
import type { Device } from '../gpu/device.ts'
import { add, packCodes, unpack } from '../gpu/ops.ts'
import { Reading } from '../gpu/reading.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Grid } from './grids/grid.ts'
import { gridKind } from './grids/index.ts'
import { uniform } from './grids/uniform.ts'
import type { QuantizedLinear } from './solver.ts'

/** The largest float16, and the size below which float16 has at most five significant bits. */
const MOST_HALF = 65504
const FEW_DIGITS = 2 ** -19

/** Sufficient to recompute the quantized weights bit for bit. */
export interface SolvedLinear {
  /** `GridKind.id`; missing: uniform integers. */
  levels?: string
  bits: 2 | 3 | 4 | 5 | 6 | 8
  /** Output features (rows of W) and input features (columns of W). */
  q: number
  p: number
  /** Columns per group; `p` for one group per row. The last group may be short. */
  groupSize: number
  /** ceil(p / groupSize) */
  groups: number
  /**
   * Codes as a little-endian bit stream down the input dimension, one stream per output:
   * `[ceil(p·bits/32), q]`, word r of output n at `r·q + n`, code k at bit `bits·k` of the stream.
   * Unused high bits of the last word are 0.
   */
  codes: Uint32Array
  /**
   * The cells of the grid, `[groups, q, 2]` f32; uniform: (scale, zero), W = scale · (code − zero). Scales are float16 numbers
   * where a checkpoint stores them so; zeros are integers in 0 .. 2^bits − 1 (2^(bits−1) when symmetric), of SpQR any numbers.
   */
  grid: Float32Array
  /** `[p]`, the group of each input feature in its original order. */
  groupIndex: Int32Array
  /** Entries of H other than +0: positions in `[p, q]`, and values. */
  outliers: { at: Uint32Array; values: Float32Array } | null
}

/** Packs codes on the GPU and reads the result to the host, with one wait. */
export function collect(gpu: Device, result: QuantizedLinear, { bits, levels }: Pick<Grid, 'bits' | 'levels'>): Reading<SolvedLinear> {
  const [p, q] = [result.codes.rows, result.codes.cols]
  const packed = packCodes(gpu, result.codes, bits)
  const h = result.outliers ? gpu.read(result.outliers.h).map((dense) => sparse(dense as Float32Array<ArrayBuffer>)) : Reading.of(null)
  const asked = Reading.all([gpu.read(packed), gpu.read(result.grid), h])
  packed.dispose()
  const { groupSize, groups, groupIndex } = result
  return asked.map(([codes, grid, found]) => {
    // A method that chooses its outliers on the GPU may have found none.
    const outliers = found?.at.length ? found : null
    const known = { bits, q, p, groupSize, groups, codes: codes as Uint32Array, grid: grid as Float32Array, groupIndex, outliers }
    return levels === uniform.id ? known : { levels, ...known }
  })
}

/** Ŵ + H `[p, q]`, as the run used it. */
export function restore(gpu: Device, solved: SolvedLinear): Tensor {
  const { q, p, outliers } = solved
  const what = unpack(gpu, solved, gridKind(solved.levels ?? uniform.id).kernel('unpack'))
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

/** Some outputs of a solved linear that has no outliers. */
export function outputsOf(solved: SolvedLinear, first: number, count: number): SolvedLinear {
  const { q, codes, grid } = solved
  return {
    ...solved,
    q: count,
    codes: columns(codes, q, new Uint32Array((codes.length / q) * count), count, first, 0, count),
    grid: columns(grid, 2 * q, new Float32Array((grid.length / q) * count), 2 * count, 2 * first, 0, 2 * count),
  }
}

/** Linears with the same inputs side by side, of each its first `count` outputs. */
export function joinOutputs(parts: readonly { part: SolvedLinear; count: number }[]): SolvedLinear {
  const [{ part: one }] = parts
  const q = parts.reduce((sum, { count }) => sum + count, 0)
  const codes = new Uint32Array(Math.ceil((one.p * one.bits) / 32) * q)
  const grid = new Float32Array(2 * one.groups * q)
  let at = 0
  for (const { part, count } of parts) {
    columns(part.codes, part.q, codes, q, 0, at, count)
    columns(part.grid, 2 * part.q, grid, 2 * q, 0, 2 * at, 2 * count)
    at += count
  }
  return { ...one, q, codes, grid }
}

/** Copies `count` columns of rows `width` wide to rows `room` wide, which are returned. */
function columns<Values extends Uint32Array | Float32Array>(
  from: Values,
  width: number,
  to: Values,
  room: number,
  first: number,
  at: number,
  count: number,
): Values {
  for (let row = 0; row * room < to.length; row++) to.set(from.subarray(row * width + first, row * width + first + count), row * room + at)
  return to
}

/** Notes on scales that are too large or too small for float16. */
export function scaleNotes({ grid }: SolvedLinear): { beyond: string | null; below: string | null } {
  let [beyond, below] = [0, 0]
  for (let i = 0; i < grid.length; i += 2) {
    const size = Math.abs(grid[i])
    if (size >= MOST_HALF) beyond++
    // 0: a group of zeros in a super-block.
    if (size > 0 && size < FEW_DIGITS) below++
  }
  const share = (count: number) => `${count} of ${grid.length / 2} scales`
  return {
    beyond: beyond ? `${share(beyond)} exceed 65504, the largest float16, and are clipped to it: those weights are lost.` : null,
    below: below ? `${share(below)} are below 2e-6, where float16 has few digits: those rows are rounded coarsely.` : null,
  }
}

function sparse(dense: Float32Array<ArrayBuffer>): NonNullable<SolvedLinear['outliers']> {
  // By bits: −0 added to −0 is not what +0 would leave.
  const bits = new Uint32Array(dense.buffer, dense.byteOffset, dense.length)
  let count = 0
  for (const word of bits) count += Number(word !== 0)
  const [at, values] = [new Uint32Array(count), new Float32Array(count)]
  for (let i = 0, next = 0; next < count; i++) {
    if (!bits[i]) continue
    at[next] = i
    values[next++] = dense[i]
  }
  return { at, values }
}
