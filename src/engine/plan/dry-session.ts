/** A session without texts, weights or time, for dry runs: what a job asks of it is there and says nothing. */
import type { Passage } from '../../data/lambada.ts'
import type { TextFacts } from '../../data/text-facts.ts'
import type { Device } from '../../gpu/device.ts'
import type { DeviceFacts, DryDevice } from '../../gpu/dry.ts'
import type { Products } from '../../gpu/products.ts'
import type { Store } from '../../io/bytes.ts'
import type { Model } from '../../models/family.ts'
import type { OpenModel } from '../../models/open.ts'
import { panelOf } from '../../quant/descent.ts'
import { Control } from '../control.ts'
import type { GpuSummary } from '../job/device.ts'
import type { Job, RunSpec } from '../job/job.ts'
import { Parking } from '../parking.ts'
import { type AdapterTraits, Session } from '../session.ts'
import { Texts, type TokenStream } from '../texts.ts'

export interface Windows {
  windows: number
  length: number
  heldOut?: number
}

export interface Counts {
  calibration: Windows
  evaluation: Windows & { products?: Products }
  passages: Passage[]
}

/** Assumed different tokens of a text of n: 20 · n^0.55, about those of WikiText-2, whose 300 thousand have some 20 thousand. */
const different = (n: number) => Math.ceil(20 * n ** 0.55)

const noFacts: TextFacts = { files: [], form: '', column: null, rows: 0, blank: 0, start: '' }

const never = () => Promise.reject(new Error('A dry run writes nothing.'))

/** Placeholder tokens for texts that do not exist. */
class BlankTexts extends Texts {
  constructor(
    readonly counts: Counts,
    readonly model: Model,
  ) {
    super([], null)
  }

  override async tokens(_: unknown, purpose: 'calibration' | 'evaluation'): Promise<TokenStream> {
    const { windows, length, heldOut = 0 } = this.counts[purpose]
    const tokens = new Int32Array((windows + heldOut) * length)
    const { perLayer, shape } = this.model
    const count = perLayer ? Math.min(shape.vocab, different(tokens.length)) : 1
    const step = Math.floor(shape.vocab / count)
    // In another order, so that no overlap of the texts is reported; one token has none.
    const back = purpose === 'evaluation'
    for (let i = 0; count > 1 && i < tokens.length; i++) tokens[i] = step * (back ? count - 1 - (i % count) : i % count)
    return { tokens: count > 1 ? tokens : tokens.fill(Number(back)), cut: false, facts: noFacts }
  }

  override async passages(): Promise<{ passages: Passage[]; facts: TextFacts }> {
    return { passages: this.counts.passages, facts: noFacts }
  }

  override windows(): number {
    return 0
  }
}

/** A session with a device that only counts. */
export class DrySession extends Session {
  override readonly texts: Texts

  constructor(
    readonly device: DryDevice,
    readonly blank: OpenModel,
    counts: Counts,
  ) {
    super(undefined)
    this.parking = new Parking(device.facts.hostMemory, never)
    this.texts = new BlankTexts(counts, blank.model)
  }

  override async gpu(): Promise<Device> {
    return this.device
  }

  override async gpuSummary(): Promise<GpuSummary> {
    const { facts, memoryBudget } = this.device
    const { told, ...info } = this.device.info
    return {
      ...info,
      memoryBudget,
      fitsParameters: 0,
      hourParameters: null,
      gflops: facts.gflops ?? 0,
      gemmKernel: this.device.gemm,
      gemmLabel: '',
      sweepPanel: panelOf(this.device),
    }
  }

  override async adapterTraits(): Promise<AdapterTraits> {
    return { told: '', arithmetic: [], browser: '' }
  }

  override get model(): OpenModel {
    return this.blank
  }
}

/** Time stands still in a dry run, so that its result is the same on every machine. */
export class Standstill extends Control {
  override get clock(): number {
    return 0
  }
}

/** A journal that stores nothing. */
export const nowhere: Store = {
  edit: async () => ({
    size: 0,
    read: async () => new Uint8Array(0),
    write: async () => {},
    resize: async () => {},
    flush: async () => {},
    close: async () => {},
  }),
  remove: async () => {},
  list: async () => [],
}

/** The device, and its settings of the sweeps. */
export type SweepingDevice = DeviceFacts & { sweepPanel: number }

/** The job of such runs on texts of so many windows. */
export function jobOf(runs: RunSpec[], { calibration, evaluation, passages }: Counts): Job {
  return {
    runs,
    calibration: {
      text: 'calibration',
      samples: calibration.windows,
      length: calibration.length,
      sampling: 'consecutive',
      heldOut: (calibration.heldOut ?? 0) / calibration.windows,
    },
    evaluation: { text: 'evaluation', samples: evaluation.windows, length: evaluation.length, products: evaluation.products },
    ...(passages.length && { lambada: { text: 'passages', passages: passages.length } }),
    seed: 0,
    perplexityEvery: 0,
    save: false,
  }
}
