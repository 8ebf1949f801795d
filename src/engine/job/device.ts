/** What the engine says of the device that it computes on. */
import type { GpuInfo } from '../../gpu/device.ts'
import type { GemmFormName } from '../../gpu/ops/gemm-forms.ts'

export type { Holding } from '../../gpu/memory.ts'

export interface GpuSummary extends Omit<GpuInfo, 'told'> {
  /** Memory that the engine may use, in bytes; an estimate, since WebGPU does not report it, unless it is known. */
  memoryBudget: number
  /** It was given, or found out when there was no more. */
  memoryKnown?: boolean
  /** Parameters of the largest model that fits, by the engine's own memory model. */
  fitsParameters: number
  /**
   * On a software adapter: parameters of a model that takes about an hour, at the measured rate. Null on others, where memory is the
   * limit.
   */
  hourParameters: number | null
  /** f32 GEMM rate measured at start, GFLOP/s. */
  gflops: number
  /** How matrix products are made, chosen by measurement at start; and the same in words. */
  gemmKernel: GemmFormName
  gemmLabel: string
  /** Width of the column panels in QuantEase's sweeps, chosen by measurement at start; 32 = one column block, no panels. */
  sweepPanel: number
}

/** GPU memory at one moment, bytes. */
export interface MemoryPoint {
  seconds: number
  held: number
}

/** Most points of a memory chart. */
export const maxPoints = 300

/** Memory over time: the peak in each time slice; slices double in width as the job gets longer. */
export function sampleMemory(series: MemoryPoint[], next: MemoryPoint): MemoryPoint[] {
  let width = 0.25
  while (next.seconds / width >= maxPoints) width *= 2
  const sampled: MemoryPoint[] = []
  for (const point of [...series, next]) {
    const last = sampled.at(-1)
    const same = last && Math.floor(last.seconds / width) === Math.floor(point.seconds / width)
    if (!same) sampled.push(point)
    else if (point.held >= last.held) sampled[sampled.length - 1] = point
  }
  return sampled
}
