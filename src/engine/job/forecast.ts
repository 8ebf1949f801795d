/** What a run will take, and dry runs, which forecast it for every method or for another device. */
import type { Holding } from '../../gpu/memory.ts'
import type { Products } from '../../gpu/products.ts'
import type { ErrorData } from '../../errors.ts'
import type { Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import type { DryDevice } from './catalog.ts'
import type { Stage, RunSpec } from './job.ts'

/** Forecast of a run, without the full-precision baseline before it. */
export interface Forecast {
  /** Floating-point operations of forward passes and Gram matrices, and of solving. */
  flops: { forward: number; solve: number }
  /** Bytes of weights read from disk. */
  readBytes: number
  /** Bytes between host and GPU, both ways. */
  movedBytes: number
  /** Bytes written to the file for what host memory does not hold, and read back. */
  fileTraffic: number
  /**
   * Seconds: operations at the measured matrix product rate, dispatches, waits and transfers at their measured times, files at 1 GB/s,
   * corrected by the times of earlier blocks, and what it took to keep solved linears; null when no rate is known.
   */
  seconds: number | null
  /** Peak GPU memory in live and pooled buffers, including transfers to the host, bytes. */
  gpuBytes: number
  /** Peak host memory for hidden states and sums that wait there, and the largest transfer, bytes. */
  hostBytes: number
  /** Most bytes in the file for what host memory does not hold. */
  fileBytes: number
  stages: (StagePeaks & { stage: Stage | 'load' })[]
  /**
   * Of a run that takes more GPU memory than the device has: the least with which it would do, bytes, and the linear that takes it. Not
   * searched for where all methods are surveyed.
   */
  least?: { bytes: number; linear: string | null }
}

export interface StagePeaks {
  gpuBytes: number
  hostBytes: number
  /** Of the GPU memory at its peak. */
  holdings: Holding[]
  /** Of the host memory at its peak. */
  hostHoldings: Holding[]
}

/** A trial of one run on some blocks begins, after `done` of `all`. */
export interface DryProgress {
  done: number
  all: number
  /** Of the run. */
  label: string
}

export interface DryRunSpec {
  /** Option values by algorithm; everything else has its default. */
  options: Options
  /** As in a run; of their options, each algorithm takes those that it has. */
  overrides?: Override[]
  /** `heldOut`: as in a job. */
  calibration: { samples: number; length: number; heldOut?: number }
  /** 0 samples: about as many as a usual text gives. */
  evaluation: { samples: number; length: number; products?: Products }
  /** A device by its figures, or null for the present one. */
  device: DryDevice | null
  /** These runs in place of one of every algorithm. */
  runs?: RunSpec[]
  /** Ids of formats that a checkpoint is to be written in: methods whose results one of them cannot store are told. */
  formats?: string[]
}

/** The forecast for every algorithm on a model, or for given runs. */
export interface DryRun {
  model: { name: string; family: string; parameters: number; blocks: number; dtype: string; weights: boolean }
  device: Omit<DryDevice, 'id'>
  tensors: { count: number; bytes: number }
  /** The linears with the largest matrices. */
  largest: { weight: { name: string; bytes: number }; gram: { name: string; bytes: number } }
  calibration: { windows: number; length: number }
  evaluation: { windows: number; length: number }
  /** The unquantized model, measured once before all runs. */
  baseline: { flops: number; readBytes: number; movedBytes: number; fileTraffic: number; seconds: number | null }
  methods: {
    id: string
    label: string
    /** Null when the options are invalid for this algorithm. */
    bitsPerWeight: number | null
    checkpointBytes: number | null
    forecast: Forecast | null
    /** Whether the forecast stays within the memory of the device; null without one. */
    fits: boolean | null
    /** Why there is no forecast. */
    problem: ErrorData | null
    /** Labels of options that were asked for, and that the method does not have. */
    without: string[]
  }[]
}
