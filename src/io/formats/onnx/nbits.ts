/**
 * Weights in the layout of onnxruntime's operator MatMulNBits, b bits in blocks of B inputs, of a linear `[q, p]`:
 *   codes  u8  `[q, ceil(p / B), B·b / 8]`    low bits first along the inputs; after the last input 0
 *   scales f32 `[q · ceil(p / B)]`
 *   zeros  u8  `[q · ceil(ceil(p / B)·b / 8)]` zero points, low bits first along the blocks; not there: 2^(b−1) everywhere
 * W[n, k] = scale · (code − zero). Three bits are held as four.
 */
import type { SolvedLinear } from '../../../quant/linear.ts'
import { getBits } from '../../bits.ts'

export type NBits = 2 | 4 | 8

/** How a linear lies in blocks. */
export interface Blocks {
  q: number
  p: number
  /** Bits of a code in the file. */
  bits: NBits
  /** Inputs per block: a power of two, 16 or more. */
  size: number
  /** Blocks of a row. */
  count: number
  /** Zero points are all 2^(bits − 1), and are left out. */
  symmetric: boolean
}

/** Of codes that are 3 bits or as wide as ONNX has them: others are of types that it does not hold. */
export const heldBits = (bits: SolvedLinear['bits']): NBits => (bits === 3 ? 4 : (bits as NBits))

/** The largest block that a full row divides into; where none does, the last block is short. */
const rowBlocks = [128, 64, 32, 16]
const raggedBlock = 32

/** Blocks of a linear in groups of `groupSize` (-1: full rows); null for groups that no blocks can be. */
export function blocksOf(
  { q, p, bits }: Pick<SolvedLinear, 'q' | 'p' | 'bits'>,
  { groupSize, symmetric }: { groupSize: number; symmetric: boolean },
): Blocks | null {
  const size = groupSize === -1 ? (rowBlocks.find((one) => p % one === 0) ?? raggedBlock) : groupSize
  if (size < 16 || size & (size - 1)) return null
  return { q, p, bits: heldBits(bits), size, count: Math.ceil(p / size), symmetric }
}

/** Bytes of each part. */
export function partBytes({ q, bits, size, count, symmetric }: Blocks): { codes: number; scales: number; zeros: number } {
  return { codes: (q * count * size * bits) / 8, scales: 4 * q * count, zeros: symmetric ? 0 : q * zeroRow(bits, count) }
}

const zeroRow = (bits: NBits, count: number) => Math.ceil((count * bits) / 8)

/** The parts of a solved linear whose groups are runs of its inputs. `zeros` is null where they are left out. */
export function encodeBlocks(solved: SolvedLinear, blocks: Blocks): { codes: Uint8Array; scales: Uint8Array; zeros: Uint8Array | null } {
  return { codes: codesOf(solved, blocks), ...cellsOf(solved, blocks) }
}

/** Words of the solver's stream lie one under the other; here they lie side by side, and three bits become four. */
function codesOf(solved: SolvedLinear, { q, p, bits, size, count, symmetric }: Blocks): Uint8Array {
  const perRow = (count * size * bits) / 32
  const out = new Uint32Array(q * perRow)
  const { codes } = solved
  if (solved.bits === bits) {
    const given = codes.length / q
    for (let r = 0; r < given; r++) for (let n = 0; n < q; n++) out[n * perRow + r] = codes[r * q + n]
    return new Uint8Array(out.buffer)
  }
  const shift = symmetric ? offset(solved, bits) : 0
  const row = new Uint32Array(codes.length / q)
  for (let n = 0; n < q; n++) {
    for (let r = 0; r < row.length; r++) row[r] = codes[r * q + n]
    for (let k = 0; k < p; k++) {
      const code = getBits(row, k * solved.bits, solved.bits) + shift
      out[n * perRow + ((k * bits) >>> 5)] |= code << ((k * bits) & 31)
    }
  }
  return new Uint8Array(out.buffer)
}

/** From the middle of the solver's codes to the middle of the file's. */
const offset = ({ bits }: SolvedLinear, held: NBits) => 2 ** (held - 1) - 2 ** (bits - 1)

function cellsOf({ grid, groups, q }: SolvedLinear, { bits, count, symmetric }: Blocks): { scales: Uint8Array; zeros: Uint8Array | null } {
  const scales = new Float32Array(q * count)
  const zeros = symmetric ? null : new Uint8Array(q * zeroRow(bits, count))
  for (let n = 0; n < q; n++) {
    for (let block = 0; block < count; block++) {
      // One group per row repeats over its blocks; otherwise they are the same.
      const cell = 2 * ((groups === 1 ? 0 : block) * q + n)
      scales[n * count + block] = grid[cell]
      if (zeros) zeros[n * zeroRow(bits, count) + ((block * bits) >>> 3)] |= grid[cell + 1] << ((block * bits) & 7)
    }
  }
  return { scales: new Uint8Array(scales.buffer), zeros }
}
