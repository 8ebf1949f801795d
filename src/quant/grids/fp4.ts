/**
 * The formats of FP4, whose codes are numbers of 4 bits (shaders/lib/e2m1.wgsl) times the scale of a block: MXFP4 of 32 weights with a power
 * of two, NVFP4 of 16 with a number of FP8 (E4M3) times the scale of the tensor, its cells being (both together, that of the tensor).
 *
 * The scale of a tensor of NVFP4 is a power of two, so that float32 and bfloat16 have every weight exactly. It comes of the largest weight
 * of all linears with the same inputs, since runtimes compute some of these as one, by one scale.
 *
 * A refit goes through the blocks: for fixed codes the error is quadratic in each scale, which takes the best of the values that its format
 * has, given all others.
 */
import type { Device } from '../../gpu/device.ts'
import { gemm, maxAbs } from '../../gpu/ops.ts'
import { elementsOf } from '../../gpu/panels.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { type CellKind, cellKind } from './cells.ts'
import { type Fit, type Grid, type GridKind, groupsOf } from './grid.ts'

const mxfp4 = fp4Kind({
  id: 'mxfp4',
  label: 'MXFP4',
  wgsl: '//#include lib/grid_mxfp4',
  fixed: { bits: 4, groupSize: 32, symmetric: true },
  cellBits: (q, p, { groupSize }) => ({ scales: 8 * q * groupsOf(p, groupSize), zeros: 0 }),
})

const blocks = fp4Kind({
  id: 'nvfp4',
  label: 'NVFP4',
  wgsl: '//#include lib/grid_nvfp4',
  fixed: { bits: 4, groupSize: 16, symmetric: true },
  cellBits: (q, p, { groupSize }) => ({ scales: 8 * q * groupsOf(p, groupSize) + 32, zeros: 0 }),
})

const nvfp4: GridKind = {
  ...blocks,
  spans: true,
  of(options): Grid {
    const grid = blocks.of(options)
    return {
      ...grid,
      spans: true,
      make(gpu, weight, layout, halfScales) {
        const cells = grid.make(gpu, weight, layout, halfScales)
        const span = options.span === undefined ? spanOf(gpu, weight) : gpu.upload(bitsOf(options.span), [1])
        gpu.run1d('e4m3_cells', { grid: cells, span }, { count: cells.size / 2 }, cells.size / 2)
        span.dispose()
        return cells
      },
    }
  },
}

export const fp4Kinds: GridKind[] = [mxfp4, nvfp4]

/** The largest absolute value of a weight `[p, q]`: `[1]`, the bits of an f32. */
function spanOf(gpu: Device, weight: Tensor): Tensor {
  const span = gpu.zeros([1], 'u32')
  maxAbs(gpu, weight, span, 0)
  return span
}

const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)

function fp4Kind(given: CellKind): GridKind {
  const kind = cellKind(given)
  return {
    ...kind,
    of(options): Grid {
      const grid = kind.of(options)
      const { groupSize: size } = grid
      return {
        ...grid,
        refit: (fit, cells) => moved(fit, grid, cells),
        refitWork: (q, p) => 2 * q * p * p + q * p * (2 * size + 10),
      }
    },
  }
}

/** `Grid.refit` */
async function moved({ gpu, gram, what: from, rest }: Fit, grid: Grid, cells: Tensor): Promise<Tensor> {
  const [p, q] = [from.rows, from.cols]
  const [what, r, next] = [from, rest, cells].map((x) => {
    const own = gpu.empty(x.shape)
    gpu.copy(x, own)
    return own
  })
  const { groupSize, most } = grid
  const g = gpu.empty([groupSize, q])
  for (let group = 0, j0 = 0; j0 < p; group++, j0 += groupSize) {
    const size = Math.min(groupSize, p - j0)
    gemm(gpu, { a: gram, b: r, c: g, m: size, n: q, k: p, lda: p, ldb: q, ldc: q, a0: j0 * p })
    const { tensor: sigma, start } = elementsOf(gpu, gram, j0 * p, (j0 + size) * p)
    const params = { q, p, size, j0, n0: j0 * p + j0 - start, group, most }
    gpu.run1d(grid.kernel('scale_moves'), { what, r, g, sigma, grid: next }, params, q, { flops: 2 * size * size * q })
    await gpu.pace()
  }
  for (const tensor of [what, r, g]) tensor.dispose()
  return next
}
