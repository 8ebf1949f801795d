/**
 * Solved linears as blocks of 32 weights along the inputs (ggml, ggml-common.h and gguf-py/gguf/quants.py):
 *   MXFP4  u8 e; the 16 bytes of Q4_0                     w = 2^(e − 127) · e2m1(q)
 *   IQ4_NL  the layout of Q4_0                            w = d · table[q], sixteen integers
 *   Q8_0  f16 d; 32 × i8 q                                w = d · q
 *   Q4_0  f16 d; 16 bytes, j: q[j] | q[j + 16] << 4       w = d · (q − 8)
 *   Q4_1  f16 d; f16 m; the same 16 bytes                 w = d · q + m
 *   Q5_0  f16 d; u32, bit j: the highest bit of q[j]; 16 bytes of the others            w = d · (q − 16)
 *   Q5_1  f16 d; f16 m; the same 20 bytes                 w = d · q + m
 * With scale s and zero z of a uniform grid, W = s · (code − z): d = s, and q = code − z + 8 (symmetric, where z is the middle code
 * and q fits from 2 bits on), q = code − 128 (8 bits, z = 128), or q = code with m = −s · z, rounded to float16. Grids with real
 * minima (quant/grids/affine.ts) have d and m themselves.
 */
import { WorkbenchError } from '../../../errors.ts'
import type { SolvedLinear } from '../../../quant/linear.ts'
import { f16ToF32, f32ToF16, powersOfTwo } from '../../half.ts'
import { tensorTypes } from './file.ts'

/** Weights in a block. */
export const BLOCK = 32

/** Types of blocks of 32. */
export type BlockType = 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'IQ4_NL' | 'MXFP4'

/** The type that holds the codes of a grid of this kind as they are; null where there is none. */
export function blockType(bits: SolvedLinear['bits'], symmetric: boolean, levels = 'uniform'): BlockType | null {
  if (levels === 'iq4_nl') return 'IQ4_NL'
  if (levels === 'mxfp4') return 'MXFP4'
  if (levels === 'affine' || levels === 'signed') return blockType(bits, levels === 'signed')
  if (levels !== 'uniform') return null
  if (bits === 8) return symmetric ? 'Q8_0' : null
  if (bits > 5) return null
  if (bits === 5) return symmetric ? 'Q5_0' : 'Q5_1'
  return symmetric ? 'Q4_0' : 'Q4_1'
}

/** Order of rows: row `n` of the file is row `from(n)` of the model, and rows of a band come from one stretch of as many. */
export interface RowOrder {
  band: number
  from(row: number): number
}

/**
 * The blocks of a linear, row by row.
 * @throws {Error} for scales that are no float16 numbers, groups out of their order, and zeros other than the grid's
 */
export function packBlocks(
  solved: SolvedLinear,
  symmetric: boolean,
  order: RowOrder | null,
  name: string,
  columns: RowOrder | null = null,
): Uint8Array {
  const { q, p, bits, groups, groupSize, codes } = solved
  const type = blockType(bits, symmetric, solved.levels)
  if (!type || p % BLOCK || (groups > 1 && groupSize % BLOCK)) throw new Error(`${name} fits no block of GGUF`)
  const outOfPlace = solved.groupIndex.findIndex((group, k) => group !== Math.floor(k / groupSize))
  if (outOfPlace >= 0) throw new Error(`Input ${outOfPlace} of ${name} is out of the order of the groups`)
  const { scales, shifts } = cells(solved, type, name)
  const { bytes } = tensorTypes[type]
  const rowBytes = (p / BLOCK) * bytes
  const out = new Uint8Array(q * rowBytes)
  const halves = new Uint16Array(out.buffer, 0, out.length >> 1)
  // Where row n of the model goes.
  const target = new Uint32Array(q)
  for (let row = 0; row < q; row++) target[order ? order.from(row) : row] = row
  const some = new Uint8Array(BLOCK)
  const offset = type === 'Q4_0' ? 8 - (1 << (bits - 1)) : 0
  const [minima, high] = [/_1$/.test(type), /^Q5/.test(type)]
  for (let top = 0; top < q; top += TILE) {
    const bottom = Math.min(q, top + TILE)
    for (let block = 0; block < p / BLOCK; block++) {
      // Bands of columns are whole blocks.
      const source = columns ? columns.from(block * BLOCK) / BLOCK : block
      const group = groups > 1 ? Math.floor((source * BLOCK) / groupSize) : 0
      for (let n = top; n < bottom; n++) {
        unpack(codes, source * bits * q + n, q, bits, some)
        const cell = group * q + n
        let at = target[n] * rowBytes + block * bytes
        if (type === 'MXFP4') out[at++] = scales[cell]
        else {
          halves[at >> 1] = scales[cell]
          at += 2
        }
        if (type === 'Q8_0') for (let k = 0; k < BLOCK; k++) out[at + k] = some[k] ^ 0x80
        else {
          if (minima) {
            halves[at >> 1] = shifts[cell]
            at += 2
          }
          if (high) {
            for (let k = 0; k < BLOCK; k++) out[at + (k >> 3)] |= (some[k] >> 4) << (k & 7)
            for (let k = 0; k < BLOCK; k++) some[k] &= 15
            at += 4
          }
          for (let k = 0; k < 16; k++) out[at + k] = (some[k] + offset) | ((some[k + 16] + offset) << 4)
        }
      }
    }
  }
  return out
}

/** Rows that are written side by side, so that their words and blocks stay in the cache. */
const TILE = 64

/** 32 codes, which fill `bits` words, each `stride` behind the one before. */
export function unpack(codes: Uint32Array, first: number, stride: number, bits: number, into: Uint8Array): void {
  const mask = (1 << bits) - 1
  if (32 % bits === 0) {
    for (let k = 0; k < BLOCK; first += stride)
      for (let word = codes[first], end = k + 32 / bits; k < end; word >>>= bits) into[k++] = word & mask
    return
  }
  let word = 0
  let held = 0
  let next = first
  for (let k = 0; k < BLOCK; k++) {
    let code = word & mask
    if (held < bits) {
      const more = codes[next]
      next += stride
      code = (word | (more << held)) & mask
      word = more >>> (bits - held)
      held += 32 - bits
    } else {
      word >>>= bits
      held -= bits
    }
    into[k] = code
  }
}

/** Scales and, of types that have them, minima as float16 words, by group and row of the model. */
function cells({ bits, groups, q, grid, levels = 'uniform' }: SolvedLinear, type: BlockType, name: string) {
  const floats = Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i])
  if (type === 'MXFP4') {
    const powers = powersOfTwo(name, floats)
    return { scales: Uint16Array.from(powers), shifts: powers }
  }
  const scales = f32ToF16(floats)
  const back = f16ToF32(scales)
  const inexact = back.findIndex((scale, i) => scale !== floats[i])
  if (inexact >= 0) throw new Error(`Scale ${floats[inexact]} of ${name} is no float16 number`)
  const least = floats.map((scale, i) => (levels === 'uniform' ? -scale * grid[2 * i + 1] : grid[2 * i + 1]))
  if (/_1$/.test(type)) {
    const beyond = least.find((value) => !(Math.abs(value) < 65520))
    if (beyond !== undefined)
      throw new WorkbenchError('weights-not-finite', `${name} holds ${beyond}, which float16 cannot.`, 'Choose a symmetric grid.')
    return { scales, shifts: f32ToF16(least) }
  }
  if (type === 'IQ4_NL') return { scales, shifts: scales }
  const middle = 2 ** (bits - 1)
  if (floats.some((scale, i) => least[i] !== -scale * middle)) throw new Error(`${name} has zeros that are not the middle code`)
  return { scales, shifts: scales }
}
