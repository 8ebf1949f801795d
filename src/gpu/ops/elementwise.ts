/** Elementwise kernels. */
import type { Device } from '../device.ts'
import { byRows, type RowPanel } from '../panels.ts'
import type { Tensor } from '../tensor.ts'

/** x += y */
export function add(gpu: Device, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'add', { x, y })
}

/** x −= y */
export function subtract(gpu: Device, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'subtract', { x, y })
}

/** x ⊙= y */
export function multiply(gpu: Device, x: Tensor, y: Tensor): void {
  elementwise(gpu, 'multiply', { x, y })
}

/** Exact GELU, its approximation by tanh, or ReLU. */
export type Activation = 'gelu' | 'gelu_tanh' | 'relu'

/** In place. */
export function activate(gpu: Device, kind: Activation, x: Tensor): void {
  elementwise(gpu, kind, { x }, kind === 'relu' ? 1 : 20)
}

/** gate = silu(gate) ⊙ up, in place. */
export function swiglu(gpu: Device, gate: Tensor, up: Tensor): void {
  elementwise(gpu, 'swiglu', { gate, up }, 8)
}

/** x = x ⊙ 1 / (1 + e^−gate), in place. */
export function sigmoidGate(gpu: Device, x: Tensor, gate: Tensor): void {
  elementwise(gpu, 'sigmoid_gate', { x, gate }, 8)
}

/** x = cap · tanh(x / cap) for the first n elements, in place; n a multiple of 4. */
export function applyCap(gpu: Device, x: Tensor, n: number, cap: number): void {
  gpu.run1d('softcap', { x }, { n, cap }, n / 4, { flops: 10 * n })
}

/** x = the nearest that 16 bits hold, in place; beyond the range of float16 it stays. */
export function roundTo(gpu: Device, dtype: 'F16' | 'BF16', x: Tensor): void {
  const width = x.size / x.rows
  const size = ({ count }: RowPanel) => ({ n: count * width, bf16: Number(dtype === 'BF16') })
  byRows(gpu, 'round_stored', { x }, {}, size, (rows) => rows * width)
}

/** x ← diag(rows) x diag(cols), in place; without one of them that side stays. */
export function scale(gpu: Device, x: Tensor, { rows, cols }: { rows?: Tensor; cols?: Tensor }): void {
  const ones = (n: number) => gpu.upload(new Float32Array(n).fill(1), [n])
  const r = rows ?? ones(x.rows)
  const c = cols ?? ones(x.cols)
  const shape = ({ first, count }: RowPanel) => ({ rows: count, cols: x.cols, row0: first })
  byRows(gpu, 'scale', { x }, { r, c }, shape, (count) => count * x.cols, { flops: (count) => 2 * count * x.cols })
  if (!rows) r.dispose()
  if (!cols) c.dispose()
}

/** A kernel over the elements of matrices of one shape, four at a time. */
function elementwise(gpu: Device, name: string, tensors: Record<string, Tensor>, flops = 1): void {
  const [{ rows, size }] = Object.values(tensors)
  const width = size / rows
  byRows(
    gpu,
    name,
    tensors,
    {},
    ({ count }) => ({ n: count * width }),
    (count) => (count * width) / 4,
    {
      flops: (count) => flops * count * width,
    },
  )
}
