/** All that can be chosen: methods, families, formats, texts, devices. */
import type { SolverInfo, OptionSpec } from '../../options.ts'
import type { TextSource } from './texts.ts'

export interface Catalog {
  solvers: SolverInfo[]
  /** Options of every run, independent of its algorithm (true-sequential, number of blocks). */
  runOptions: readonly OptionSpec[]
  families: { id: string; label: string; modelTypes: string[] }[]
  formats: { id: string; label: string; summary: string }[]
  /** Built-in texts and known data sets, usable as calibration or evaluation text. */
  texts: TextSource[]
  /** Devices that a dry run can be made for. */
  devices: DryDevice[]
}

/** A device described by published figures. */
export interface DryDevice {
  id: string
  label: string
  maxBinding: number
  maxBuffer: number
  memoryBudget: number
  /** Rate of f32 matrix products, GFLOP/s; null when unknown. */
  gflops: number | null
  /** Rate between host and device, bytes per second; null when unknown. */
  transferRate: number | null
  /** Bytes of host memory that a run may use. */
  hostMemory: number
  /** Where the figures come from. */
  from: string
}
