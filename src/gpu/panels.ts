/**
 * Tensors larger than a binding: kernels see them as row panels, i.e. ranges of whole rows. Operations split their arguments, so that
 * callers need not know the limit.
 */
import type { DispatchOptions, Device } from './device.ts'
import { elementBytes, type Tensor } from './tensor.ts'

export interface RowPanel {
  first: number
  count: number
}

/** Rows of so many elements, cut so that the panels of each width start at multiples of 64 elements and fit a binding. */
export function rowPanels(gpu: Device, rows: number, widths: number[], unit = 1): RowPanel[] {
  const widest = Math.max(...widths)
  const fit = Math.floor(gpu.info.maxBinding / 4 / widest)
  if (rows <= fit) return [{ first: 0, count: rows }]
  const step = stepOf(widths, unit)
  // `Device` says what does not fit.
  return fit < step ? [{ first: 0, count: rows }] : alignedRows(rows, widths, unit, fit)
}

/** Rows after which all widths are at a multiple of 64 elements. */
const stepOf = (widths: number[], unit: number) => widths.reduce((all, width) => lcm(all, 64 / gcd(64, width)), unit)

/** Panels of about `most` rows, which start at multiples of `unit` rows and, with rows of each width, of 64 elements. */
export function alignedRows(rows: number, widths: number[], unit: number, most: number): RowPanel[] {
  const step = stepOf(widths, unit)
  const height = Math.max(1, Math.floor(most / step)) * step
  return Array.from({ length: Math.ceil(rows / height) }, (_, i) => ({
    first: i * height,
    count: Math.min(height, rows - i * height),
  }))
}

/** Rows of a matrix as a tensor of their own. */
export function rowsOf(x: Tensor, { first, count }: RowPanel): Tensor {
  const width = x.size / x.rows
  return count === x.rows ? x : x.view([count, ...x.shape.slice(1)], first * width)
}

/**
 * A kernel that takes every row by itself: `walked` are the tensors whose rows it walks, all with the same number of rows,
 * `whole` those that it sees all of. `items`: invocations for a panel; `unit`: rows that belong together.
 */
export function byRows(
  gpu: Device,
  name: string,
  walked: Record<string, Tensor>,
  whole: Record<string, Tensor>,
  params: (panel: RowPanel) => Record<string, number>,
  items: (rows: number) => number,
  { unit = 1, flops }: { unit?: number; flops?: (rows: number) => number } = {},
): void {
  const tensors = Object.values(walked)
  const rows = tensors[0].rows
  const widths = tensors.map((tensor) => tensor.size / tensor.rows)
  for (const panel of rowPanels(gpu, rows, widths, unit)) {
    const seen = Object.fromEntries(Object.entries(walked).map(([key, tensor]) => [key, rowsOf(tensor, panel)]))
    const options: DispatchOptions = flops ? { flops: flops(panel.count) } : {}
    gpu.run1d(name, { ...seen, ...whole }, params(panel), items(panel.count), options)
  }
}

/** The pairs of a panel that is read and one that is written, for kernels that move rows about. */
export function panelPairs(gpu: Device, from: Tensor, to: Tensor): [RowPanel, RowPanel][] {
  const sources = rowPanels(gpu, from.rows, [from.cols])
  return rowPanels(gpu, to.rows, [to.cols]).flatMap((target) => sources.map((source): [RowPanel, RowPanel] => [source, target]))
}

/** The elements `from .. to` of a tensor as something that a binding may hold, and where its first element stands. */
export function elementsOf(gpu: Device, x: Tensor, from: number, to: number): { tensor: Tensor; start: number } {
  if (x.bytes <= gpu.info.maxBinding) return { tensor: x, start: 0 }
  const unit = 256 / elementBytes(x.dtype)
  const start = Math.floor(from / unit) * unit
  return { tensor: x.view([Math.min(x.size, Math.ceil(to / 4) * 4) - start], start), start }
}

const gcd = (a: number, b: number): number => (b ? gcd(b, a % b) : a)
const lcm = (a: number, b: number): number => (a / gcd(a, b)) * b
