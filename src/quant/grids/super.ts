/**
 * The K types of ggml, Q2_K to Q6_K: super-blocks of 256 weights of a row with float16 numbers d and m, and groups of 16 or 32 in them with
 * small integers s and t:  W = d · s · code − m · t,  or for types without minima W = d · s · (code − middle).
 *
 * A group's cell is (d · s, −m · t), products that float32 has exactly; so for sweeps and passes these are grids like any other, and d, m,
 * s and t are found again from the cells wherever they are needed (shaders/lib/super.wgsl, io/formats/gguf/super.ts).
 *
 * A refit goes through the super-blocks of the rows: for fixed codes the error is quadratic in every number of the grid, so each group's
 * s and t, then the d and m of the super-block, take their best values, given all others.
 */
import type { Device } from '../../gpu/device.ts'
import { gemm } from '../../gpu/ops.ts'
import { elementsOf } from '../../gpu/panels.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { Layout } from '../layout.ts'
import { cellKind } from './cells.ts'
import type { Fit, Grid, GridKind } from './grid.ts'

/** Weights of a super-block. */
export const SUPER = 256

/** What tells the K types apart. */
export interface SuperType {
  id: string
  bits: 2 | 3 | 4 | 5 | 6
  /** Weights of a group. */
  size: 16 | 32
  /** s reaches from least to top, t from 0 to top. */
  least: number
  top: number
  /** The code that stands for 0, of types without minima. */
  middle: number
  /** The type of rows that super-blocks do not divide, as llama.cpp chooses it. */
  fallback: string
  /** Bytes of a super-block. */
  bytes: number
}

export const superTypes: readonly SuperType[] = [
  { id: 'q2_k', bits: 2, size: 16, least: 0, top: 15, middle: 0, fallback: 'iq4_nl', bytes: 84 },
  { id: 'q3_k', bits: 3, size: 16, least: -32, top: 31, middle: 4, fallback: 'iq4_nl', bytes: 110 },
  { id: 'q4_k', bits: 4, size: 32, least: 0, top: 63, middle: 0, fallback: 'q5_0', bytes: 144 },
  { id: 'q5_k', bits: 5, size: 32, least: 0, top: 63, middle: 0, fallback: 'q5_1', bytes: 176 },
  { id: 'q6_k', bits: 6, size: 16, least: -128, top: 127, middle: 32, fallback: 'q8_0', bytes: 210 },
]

export const superKinds: GridKind[] = superTypes.map(superKind)

function superKind(type: SuperType): GridKind {
  const { id, bits, size } = type
  const symmetric = type.least < 0
  const fixed = { bits, groupSize: size, symmetric, grid: 'weighted' } as const
  const cells = cellKind({ id, wgsl: '//#include lib/grid_super', variant: 'super', cellBits: () => ({ scales: 0, zeros: 0 }) })
  return {
    id,
    label: id.toUpperCase(),
    fixed,
    divides: { by: SUPER, fallback: type.fallback },
    kernel: cells.kernel,
    of(given): Grid {
      const options = { ...given, ...fixed }
      const plain = cells.of(options)
      return {
        ...plain,
        make(gpu, weight, layout) {
          const found = plain.make(gpu, weight, layout, false)
          const made = fitted(gpu, type, weight, found, layout)
          found.dispose()
          return made
        },
        multiples: (gpu, grid, multiples) =>
          rescaled(gpu, type, grid, gpu.upload(Float32Array.from(multiples), [multiples.length]), 'copy'),
        rescaled: (gpu, grid, rows) => rescaled(gpu, type, grid, rows, 'row'),
        refit: (fit, grid) => refitted(fit, type, grid),
        // All but the codes: 8 bits a group or 6 and 6, and d, m.
        cellBits: (q, p) => ({ scales: (q * p * (8 * type.bytes - SUPER * bits)) / SUPER, zeros: 0 }),
        refitWork: (q, p) => 4 * q * p * p + q * p * (4 * SUPER + 2 * size + 40),
      }
    },
  }
}

const numbersOf = ({ least, top, middle }: SuperType) => ({ least, top, middle })

function fitted(gpu: Device, type: SuperType, weight: Tensor, found: Tensor, { diagonal }: Layout): Tensor {
  const [p, q] = [weight.rows, weight.cols]
  const { size, bits } = type
  const [blocks, count] = [p / SUPER, SUPER / size]
  const grid = gpu.empty(found.shape)
  const importance = gpu.upload(Float32Array.from(diagonal), [p])
  const params = { q, blocks, count, ...numbersOf(type), most: 2 ** bits - 1, size }
  const tries = type.least < 0 ? 5 : 25
  gpu.run1d('super_fit', { w: weight, weight: importance, found, grid }, params, blocks * q, { flops: tries * 10 * p * q })
  importance.dispose()
  return grid
}

/** d and m of all super-blocks, `[blocks, q, 2]` */
function unitsOf(gpu: Device, type: SuperType, grid: Tensor): Tensor {
  const [groups, q] = grid.shape
  const count = SUPER / type.size
  const units = gpu.empty([groups / count, q, 2])
  gpu.run1d('super_split', { grid, units }, { q, blocks: groups / count, count, ...numbersOf(type) }, (groups / count) * q)
  return units
}

/** Cells with d and m times a factor: one for each copy, disposed here, or the third of four numbers for each row. */
function rescaled(gpu: Device, type: SuperType, grid: Tensor, factor: Tensor, by: 'copy' | 'row'): Tensor {
  const [groups, q] = grid.shape
  const count = SUPER / type.size
  const units = unitsOf(gpu, type, grid)
  const copies = by === 'copy' ? factor.size : 1
  const out = gpu.empty([groups, copies * q, 2])
  const places = by === 'copy' ? { offset: 0, by_row: 0, by_copy: 1 } : { offset: 2, by_row: 4, by_copy: 0 }
  const params = { q, blocks: groups / count, count, ...numbersOf(type), copies, ...places }
  gpu.run1d('super_rescale', { grid, units, factor, out }, params, groups * copies * q)
  units.dispose()
  if (by === 'copy') factor.dispose()
  return out
}

/** `Grid.refit` */
async function refitted(fit: Fit, type: SuperType, cells: Tensor): Promise<Tensor> {
  const { gpu } = fit
  const copy = (x: Tensor) => {
    const own = gpu.empty(x.shape)
    gpu.copy(x, own)
    return own
  }
  const grid = copy(cells)
  const state = { gram: fit.gram, what: copy(fit.what), r: copy(fit.rest), grid, units: unitsOf(gpu, type, cells) }
  const blocks = fit.what.rows / SUPER
  for (let block = 0; block < blocks; block++) {
    moveGroups(gpu, type, state, block)
    moveUnits(gpu, type, state, block)
    await gpu.pace()
  }
  for (const tensor of [state.what, state.r, state.units]) tensor.dispose()
  return grid
}

interface State {
  gram: Tensor
  what: Tensor
  r: Tensor
  grid: Tensor
  units: Tensor
}

/** Σ of `count` inputs from j0 on with all of R or of `x`, whose first row is input k0: `[count, q]` */
function product(gpu: Device, gram: Tensor, x: Tensor, c: Tensor, { j0, count, k0 = 0 }: { j0: number; count: number; k0?: number }): void {
  const [p, q] = [gram.rows, x.cols]
  gemm(gpu, { a: gram, b: x, c, m: count, n: q, k: x.rows, lda: p, ldb: q, ldc: q, a0: j0 * p + k0 })
}

function moveGroups(gpu: Device, type: SuperType, { gram, what, r, grid, units }: State, block: number): void {
  const { size, bits } = type
  const [p, q] = [what.rows, what.cols]
  const g = gpu.empty([size, q])
  for (let j0 = block * SUPER; j0 < (block + 1) * SUPER; j0 += size) {
    product(gpu, gram, r, g, { j0, count: size })
    const { tensor: sigma, start } = elementsOf(gpu, gram, j0 * p, (j0 + size) * p)
    const params = { q, p, size, j0, n0: j0 * p + j0 - start, group: j0 / size, block, ...numbersOf(type), most: 2 ** bits - 1 }
    gpu.run1d('super_moves', { what, r, g, sigma, grid, units }, params, q, { flops: 4 * size * size * q })
  }
  g.dispose()
}

function moveUnits(gpu: Device, type: SuperType, { gram, what, r, grid, units }: State, block: number): void {
  const { size, bits } = type
  const q = what.cols
  const j0 = block * SUPER
  const [parts, products] = [gpu.empty([2, SUPER, q]), gpu.empty([3, SUPER, q])]
  const third = (of: Tensor, i: number) => of.view([SUPER, q], i * SUPER * q)
  const [u, v] = [third(parts, 0), third(parts, 1)]
  const params = { q, size, length: SUPER, j0, block, ...numbersOf(type), most: 2 ** bits - 1 }
  gpu.run1d('super_parts', { what, grid, units, u, v }, params, SUPER * q)
  product(gpu, gram, r, third(products, 0), { j0, count: SUPER })
  product(gpu, gram, u, third(products, 1), { j0, count: SUPER, k0: j0 })
  product(gpu, gram, v, third(products, 2), { j0, count: SUPER, k0: j0 })
  gpu.run1d('super_units', { what, r, parts, products, grid, units }, params, q, { flops: 10 * SUPER * q })
  for (const tensor of [parts, products]) tensor.dispose()
}
