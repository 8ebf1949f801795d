/**
 * Sums over the inputs of stages as a job made them, in this program's memory for as long as there is room: to look at Σ, and to try
 * other options on it without running the model. The latest stay.
 */
import { Reading } from '../gpu/reading.ts'
import type { Device } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { OpenModel } from '../models/open.ts'
import type { InputSums } from '../quant/target.ts'

/** Bytes of all that is kept. */
const BUDGET = 256 * 2 ** 20

type Host = Float32Array<ArrayBuffer>

/** `InputSums` on the host, each `[p, p]`. */
export interface KeptSums {
  gram: Host
  cross: Host | null
  drift: Host | null
}

/** What a stage summed up over the calibration windows, and over the held-out ones where there are any. */
export interface KeptStage {
  /** The model as it was open. */
  opened: OpenModel
  /** Full names of its linears. */
  linears: string[]
  p: number
  /** They are the inputs of the full-precision model: then a corrected target is the original one. */
  fullInputs: boolean
  seen: KeptSums
  heldOut: KeptSums | null
}

export class GramCache {
  /** By job, run and first linear of the stage, oldest first. */
  readonly #stages = new Map<string, { stage: KeptStage; bytes: number }>()

  constructor(readonly budget = BUDGET) {}

  /** Whether there is room for the sums of a stage, once older ones are given up. */
  fits(sums: StageTensors): boolean {
    return bytesOf(sums) <= this.budget
  }

  /** Reads the sums of a stage that fit, `linears`: their full names; `run`: `runKey`. Does not wait for the GPU. */
  keep(
    gpu: Device,
    opened: OpenModel,
    run: string,
    { linears, fullInputs }: Pick<KeptStage, 'linears' | 'fullInputs'>,
    sums: StageTensors,
  ): void {
    const { seen, heldOut } = sums
    const all = allOf(sums)
    const bytes = bytesOf(sums)
    const read = Reading.all(all.map((tensor) => (tensor ? gpu.read(tensor) : Reading.of(null))))
    const put = (values: readonly unknown[]) => {
      const [gram, cross, drift, ...rest] = values as (Host | null)[]
      const held = heldOut && { gram: rest[0]!, cross: rest[1], drift: rest[2] }
      this.#put(`${run} ${linears[0]}`, {
        bytes,
        stage: { opened, linears, fullInputs, p: seen.gram.rows, seen: { gram: gram!, cross, drift }, heldOut: held },
      })
    }
    // Who loses the device is told by what waits for the results.
    read.then(put, () => {})
  }

  #put(key: string, entry: { stage: KeptStage; bytes: number }): void {
    this.#stages.delete(key)
    this.#stages.set(key, entry)
    let held = [...this.#stages.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [oldest, { bytes }] of this.#stages) {
      if (held <= this.budget) break
      this.#stages.delete(oldest)
      held -= bytes
    }
  }

  /** The sums that a run (`runKey`) made for a linear, by its full name, while they are there. */
  of(run: string, linear: string): KeptStage | null {
    for (const [key, { stage }] of this.#stages) if (key.startsWith(`${run} `) && stage.linears.includes(linear)) return stage
    return null
  }
}

/** A run of the job that was started at this time. */
export const runKey = (started: string, run: string) => `${started} ${run}`

interface StageTensors {
  seen: InputSums
  heldOut: InputSums | null
}

const tensorsOf = ({ gram, cross, drift }: InputSums): (Tensor | null)[] => [gram, cross, drift]
const allOf = ({ seen, heldOut }: StageTensors) => [...tensorsOf(seen), ...(heldOut ? tensorsOf(heldOut) : [])]
const bytesOf = (sums: StageTensors) => allOf(sums).reduce((total, tensor) => total + (tensor?.bytes ?? 0), 0)
