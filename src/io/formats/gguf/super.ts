/**
 * Solved linears as super-blocks of 256 weights along the inputs (ggml, ggml-common.h and gguf-py/gguf/quants.py), in groups of 16 or 32:
 *   Q2_K  16 × 4 bits s, 4 bits t; 64 bytes q, 2 bits; f16 d; f16 m                 w = d · s · q − m · t
 *   Q3_K  32 bytes, the highest bits of q; 64 bytes q; 12 bytes s + 32, 6 bits; f16 d    w = d · s · (q − 4)
 *   Q4_K  f16 d; f16 m; 12 bytes s and t, 6 bits; 128 bytes q, 4 bits               w = d · s · q − m · t
 *   Q5_K  the same, 32 bytes of the highest bits of q before the last               w = d · s · q − m · t
 *   Q6_K  128 bytes q, 4 bits; 64 bytes, the others; 16 × i8 s; f16 d               w = d · s · (q − 32)
 * The cells of such a grid are (d · s, −m · t) and (d · s, −middle · d · s); d, m, s and t are what divides them exactly
 * (quant/grids/super.ts).
 */
import type { SolvedLinear } from '../../../quant/linear.ts'
import { f32ToF16 } from '../../half.ts'
import { BLOCK, type RowOrder, unpack } from './blocks.ts'
import { type TensorType, tensorTypes } from './file.ts'

/** Weights of a super-block. */
export const SUPER = 256

export interface SuperType {
  type: TensorType
  /** Weights of a group. */
  size: number
  /** s reaches from least to top, t from 0 to top. */
  least: number
  top: number
  /** The code that stands for 0, of types without minima. */
  middle: number
  write: Writer
}

/** The type of grids of this kind, `Grid.levels`; none where it is not one of these. */
export const superTypeOf = (levels: string | undefined): SuperType | undefined =>
  levels !== undefined && Object.hasOwn(superTypes, levels) ? superTypes[levels] : undefined

/**
 * The super-blocks of a linear, row by row.
 * @throws {Error} for groups out of their order, and cells that are no such multiples
 */
export function packSuper(solved: SolvedLinear, type: SuperType, order: RowOrder | null, name: string): Uint8Array {
  const { q, p, bits, codes, grid, groupIndex } = solved
  const { size } = type
  const { bytes } = tensorTypes[type.type]
  const outOfPlace = groupIndex.findIndex((group, k) => group !== Math.floor(k / size))
  if (p % SUPER || outOfPlace >= 0) throw new Error(`${name} fits no super-blocks of GGUF`)
  const count = SUPER / size
  const out = new Uint8Array((q * p * bytes) / SUPER)
  const some = new Uint8Array(SUPER)
  const cells = { x: new Float64Array(count), y: new Float64Array(count) }
  for (let row = 0; row < q; row++) {
    const from = order ? order.from(row) : row
    for (let block = 0; block < p / SUPER; block++) {
      for (let k = 0; k < SUPER; k += BLOCK) unpack(codes, ((block * SUPER + k) / 32) * bits * q + from, q, bits, some.subarray(k))
      for (let k = 0; k < count; k++) {
        const at = 2 * ((block * count + k) * q + from)
        cells.x[k] = grid[at]
        cells.y[k] = grid[at + 1]
      }
      const d = divided(cells.x, type.least, type.top)
      const m = divided(type.least < 0 ? cells.y.map((y, k) => y + type.middle * cells.x[k]) : cells.y.map((y) => -y), 0, type.top)
      if (!d || !m || (type.least < 0 && m.unit !== 0))
        throw new Error(`A super-block of ${name} has cells that are no multiples of a float16`)
      const at = (row * (p / SUPER) + block) * bytes
      type.write(out.subarray(at, at + bytes), some, d, m)
    }
  }
  return out
}

/** Values as integers from least to top times a float16. */
interface Divided {
  unit: number
  times: Int16Array
}

/** The finest float16 that divides all values; null where there is none. */
function divided(values: Float64Array, least: number, top: number): Divided | null {
  const largest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
  if (largest === 0) return { unit: 0, times: new Int16Array(values.length) }
  for (let times = Math.max(top, -least); times >= 1; times--) {
    const unit = (times > top ? -largest : least < 0 ? Math.abs(largest) : largest) / times
    if (!isHalf(unit)) continue
    const found = values.map((value) => value / unit)
    if (found.every((one) => Number.isInteger(one) && one >= least && one <= top)) return { unit, times: Int16Array.from(found) }
  }
  return null
}

/** Whether float16 has this number: 11 significant bits, and multiples of 2⁻²⁴. */
function isHalf(value: number): boolean {
  const least = 2 ** Math.max(-24, Math.floor(Math.log2(Math.abs(value))) - 10)
  return Math.abs(value) <= 65504 && Number.isInteger(value / least)
}

type Writer = (out: Uint8Array, q: Uint8Array, d: Divided, m: Divided) => void

function half(out: Uint8Array, at: number, value: number): void {
  const [word] = f32ToF16(Float32Array.of(value))
  out[at] = word & 255
  out[at + 1] = word >> 8
}

/** Two low bits of each q, in 64 bytes: of each half of 128, weights 32 apart share a byte. */
function twoBits(out: Uint8Array, at: number, q: Uint8Array, shift = 0): void {
  for (let i = 0; i < SUPER; i++) out[at + (i >> 7) * 32 + (i & 31)] |= ((q[i] >> shift) & 3) << (2 * ((i >> 5) & 3))
}

/** One bit of each q, in 32 bytes. */
function oneBit(out: Uint8Array, at: number, q: Uint8Array, shift: number): void {
  for (let i = 0; i < SUPER; i++) out[at + (i & 31)] |= ((q[i] >> shift) & 1) << (i >> 5)
}

/** Four low bits of each q, in 128 bytes: weights `apart` apart share a byte. */
function fourBits(out: Uint8Array, at: number, q: Uint8Array, apart: number): void {
  for (let i = 0; i < SUPER; i++) {
    const pair = Math.floor(i / (2 * apart))
    out[at + pair * apart + (i % apart)] |= (q[i] & 15) << (4 * (Math.floor(i / apart) & 1))
  }
}

/** Eight pairs of 6 bits in 12 bytes, as Q4_K and Q5_K have them. */
function sixBits(out: Uint8Array, at: number, s: Int16Array, t: Int16Array): void {
  for (let k = 0; k < 4; k++) {
    out[at + k] = s[k] | ((s[k + 4] >> 4) << 6)
    out[at + 4 + k] = t[k] | ((t[k + 4] >> 4) << 6)
    out[at + 8 + k] = (s[k + 4] & 15) | ((t[k + 4] & 15) << 4)
  }
}

const writeQ2: Writer = (out, q, d, m) => {
  for (let k = 0; k < 16; k++) out[k] = d.times[k] | (m.times[k] << 4)
  twoBits(out, 16, q)
  half(out, 80, d.unit)
  half(out, 82, m.unit)
}

const writeQ3: Writer = (out, q, d) => {
  oneBit(out, 0, q, 2)
  twoBits(out, 32, q)
  for (let k = 0; k < 16; k++) {
    const s = d.times[k] + 32
    out[96 + (k & 7)] |= (s & 15) << (4 * (k >> 3))
    out[104 + (k & 3)] |= (s >> 4) << (2 * (k >> 2))
  }
  half(out, 108, d.unit)
}

const writeQ4: Writer = (out, q, d, m) => {
  half(out, 0, d.unit)
  half(out, 2, m.unit)
  sixBits(out, 4, d.times, m.times)
  fourBits(out, 16, q, 32)
}

const writeQ5: Writer = (out, q, d, m) => {
  half(out, 0, d.unit)
  half(out, 2, m.unit)
  sixBits(out, 4, d.times, m.times)
  oneBit(out, 16, q, 4)
  fourBits(out, 48, q, 32)
}

const writeQ6: Writer = (out, q, d) => {
  fourBits(out, 0, q, 64)
  twoBits(out, 128, q, 4)
  for (let k = 0; k < 16; k++) out[192 + k] = d.times[k]
  half(out, 208, d.unit)
}

const superTypes: Record<string, SuperType> = {
  q2_k: { type: 'Q2_K', size: 16, least: 0, top: 15, middle: 0, write: writeQ2 },
  q3_k: { type: 'Q3_K', size: 16, least: -32, top: 31, middle: 4, write: writeQ3 },
  q4_k: { type: 'Q4_K', size: 32, least: 0, top: 63, middle: 0, write: writeQ4 },
  q5_k: { type: 'Q5_K', size: 32, least: 0, top: 63, middle: 0, write: writeQ5 },
  q6_k: { type: 'Q6_K', size: 16, least: -128, top: 127, middle: 32, write: writeQ6 },
}
