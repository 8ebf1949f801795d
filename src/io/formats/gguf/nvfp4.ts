/**
 * NVFP4 of llama.cpp (ggml-common.h and gguf-py/gguf/quants.py): blocks of 64 weights along the inputs, in groups of 16,
 *   4 × u8 E4M3, the scales of the groups; 4 × 8 bytes, j: q[j] | q[j + 8] << 4                w = scale · e2m1(q)
 * and beside a linear's `weight` its `scale`, one f32, by which its outputs are multiplied.
 */
import type { SolvedLinear } from '../../../quant/linear.ts'
import { f32ToE4m3 } from '../../half.ts'
import { nvfp4Scales } from '../fp4.ts'
import type { RowOrder } from './blocks.ts'

/** Weights of a block, and of a group. */
export const BLOCK_NVFP4 = 64
const GROUP = 16
const BYTES = 36

/**
 * The blocks of a linear, row by row, and its scale.
 * @throws {Error} for rows of no whole blocks, and cells that are not of the type
 */
export function packNvfp4(solved: SolvedLinear, order: RowOrder | null, name: string, columns: RowOrder | null) {
  const { q, p, groups, codes, grid } = solved
  if (p % BLOCK_NVFP4) throw new Error(`${name} fits no blocks of NVFP4`)
  const scales = f32ToE4m3(
    name,
    nvfp4Scales(
      name,
      solved,
      Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i]),
    ),
  )
  const out = new Uint8Array((q * p * BYTES) / BLOCK_NVFP4)
  for (let row = 0; row < q; row++) {
    const n = order ? order.from(row) : row
    for (let group = 0; group < groups; group++) {
      const at = (row * (p / BLOCK_NVFP4) + (group >> 2)) * BYTES
      // Bands of columns are whole groups.
      const source = columns ? columns.from(group * GROUP) / GROUP : group
      out[at + (group & 3)] = scales[source * q + n]
      const [low, high] = [codes[2 * source * q + n], codes[(2 * source + 1) * q + n]]
      for (let j = 0; j < 8; j++) out[at + 4 + 8 * (group & 3) + j] = ((low >>> (4 * j)) & 15) | (((high >>> (4 * j)) & 15) << 4)
    }
  }
  return { bytes: out, scale: Float32Array.of(grid[1]) }
}
