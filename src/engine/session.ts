/**
 * What is open while somebody works: one device, one model with its tokenizer, and the texts. Shared by the worker and
 * the terminal, which differ only in where files come from and go to.
 */
import type { ListDataset } from '../data/datasets.ts'
import type { TextTokenizer } from '../data/tokenizer.ts'
import { WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import { chooseGemm, probeArithmetic } from '../gpu/measure.ts'
import { gemmForms } from '../gpu/ops/gemm-forms.ts'
import { type OpenOptions, WebGpuDevice } from '../gpu/webgpu.ts'
import type { Files } from '../io/bytes.ts'
import type { OpenModel } from '../models/open.ts'
import { choosePanel, usePanel as takePanel } from '../quant/descent.ts'
import { catalog } from './catalog.ts'
import { DeviceNotes, type NoteStore } from './device-notes.ts'
import type { Catalog } from './job/catalog.ts'
import type { GpuSummary } from './job/device.ts'
import type { HubOrigin, ModelSummary } from './job/model.ts'
import { Pace } from './pace.ts'
import { Parking } from './parking.ts'
import { type TextFile, Texts } from './texts.ts'

/** What tells one adapter from another. */
export interface AdapterTraits {
  /** Names, features and limits. */
  told: string
  /** `probeArithmetic` */
  arithmetic: number[]
  /** The user agent; empty outside browsers, where the packages of the program say the same. */
  browser: string
}

export class Session {
  #gpu: Promise<Device> | null = null
  /** What runs in this session took beside what was foreseen of them. */
  readonly pace = new Pace()
  /** Where values of a run wait beside the GPU; whoever opens a session says how much memory there is for them. */
  parking = new Parking()
  #summary: GpuSummary | null = null
  #model: OpenModel | null = null
  #tokenizer: TextTokenizer | null = null
  readonly texts: Texts
  /** Where the open model came from; null for a folder. */
  source: HubOrigin | null = null
  /** What was told of the open model. */
  summary: ModelSummary | null = null
  #openings = 0
  readonly #notes: DeviceNotes

  constructor(
    readonly gpuSource: GPU | undefined,
    texts: TextFile[] = [],
    /** How data sets of the Hub are listed; null without a way to it. */
    list: ListDataset | null = null,
    /** How the device is opened. */
    readonly gpuOptions?: OpenOptions,
    /** Where it is kept what was found out about devices; null for nowhere. */
    notes: NoteStore | null = null,
  ) {
    this.#notes = new DeviceNotes(notes)
    this.texts = new Texts(texts, list)
  }

  get catalog(): Catalog {
    return { ...catalog(), texts: this.texts.sources }
  }

  // ---------------------------------------------------------------- device

  /** The device, opened on first use and again after it was lost or has failed. @throws WorkbenchError `gpu-missing` */
  async gpu(): Promise<Device> {
    const opened = this.#gpu
    const gpu = await opened
    if (gpu && !gpu.failed) return gpu
    // Somebody else who waited has opened another one meanwhile.
    if (this.#gpu !== opened) return this.gpu()
    gpu?.destroy()
    this.#summary = null
    const open = async () => {
      const gpu = await WebGpuDevice.open(this.gpuSource, this.gpuOptions)
      const known = await this.#notes.of(gpu)
      if (known.memory) gpu.restrict(known.memory)
      await chooseGemm(gpu, known.gemm)
      if (known.gemm !== gpu.gemm) await this.#notes.add(gpu, { gemm: gpu.gemm })
      this.pace.on(gpu.info.told, known.pace, (pace) => this.#notes.add(gpu, { pace }))
      return gpu
    }
    this.#gpu = open().catch((error) => {
      this.#gpu = null
      throw error
    })
    return this.#gpu
  }

  /**
   * Another device in place of this one, whatever state it is in. `short`: it had less memory than a run may use, so from now on, and in
   * later sessions, a run may use half of that. @throws WorkbenchError `gpu-missing`
   */
  async renewGpu(short = false): Promise<Device> {
    const gpu = await this.#gpu
    if (gpu && short) await this.#notes.add(gpu, { memory: gpu.memoryBudget / 2 })
    this.#gpu = null
    gpu?.destroy()
    return this.gpu()
  }

  /** What tells this device from others: all that it and the browser say of themselves, and bits of its arithmetic. */
  async adapterTraits(): Promise<AdapterTraits> {
    const gpu = await this.gpu()
    const arithmetic = [...(await probeArithmetic(gpu))]
    // Nothing else has tensors of that size.
    gpu.trim()
    return { told: gpu.info.told, arithmetic, browser: globalThis.navigator?.userAgent ?? '' }
  }

  /** What the device is and can, with its measured GEMM rate. */
  async gpuSummary(): Promise<GpuSummary> {
    const gpu = await this.gpu()
    if (!this.#summary) {
      const { memoryBudget, memoryKnown, gflops } = gpu
      const { told, ...info } = gpu.info
      this.#summary = {
        ...info,
        memoryBudget,
        memoryKnown,
        fitsParameters: largestModel(memoryBudget, gpu.info.maxBinding),
        hourParameters: gpu.info.kind === 'software' ? modelOfAnHour(gflops) : null,
        gflops,
        gemmKernel: gpu.gemm,
        gemmLabel: gemmForms[gpu.gemm].label,
        sweepPanel: await choosePanel(gpu),
      }
    }
    return this.#summary
  }

  /** Makes products in these ways from now on, which were chosen by measuring: perhaps another time, on another device of the kind. */
  async settle({ gemmKernel, sweepPanel }: Pick<GpuSummary, 'gemmKernel' | 'sweepPanel'>): Promise<void> {
    const gpu = await this.gpu()
    gpu.gemm = gemmKernel
    takePanel(gpu, sweepPanel)
    this.#summary = { ...(await this.gpuSummary()), gemmKernel, gemmLabel: gemmForms[gemmKernel].label, sweepPanel }
  }

  // ---------------------------------------------------------------- model

  get model(): OpenModel {
    if (!this.#model) throw new WorkbenchError('plan-invalid', 'No model is open.', 'Open a model first.')
    return this.#model
  }

  get tokenizer(): TextTokenizer {
    if (!this.#tokenizer) throw new WorkbenchError('plan-invalid', 'No model is open.', 'Open a model first.')
    return this.#tokenizer
  }

  /** Marks the beginning of an opening; what it returns throws `cancelled` once another has begun. */
  opening(): () => void {
    const mine = ++this.#openings
    return () => {
      if (mine !== this.#openings) throw new WorkbenchError('cancelled', 'Another model was opened meanwhile.')
    }
  }

  /**
   * Reads headers, configuration and tokenizer; the model before is let go only when all of it is right. A config.json alone
   * opens as a model without weights, for dry runs. `check`: of an opening that began before the files were known.
   * @throws WorkbenchError `cancelled` when another opening began meanwhile: the last one counts, whichever is read first
   */
  async open(files: Files, name?: string, source: HubOrigin | null = null, check = this.opening()): Promise<ModelSummary> {
    const { openModelFiles } = await loadOpening()
    const { model, tokenizer, chat, summary } = await openModelFiles(files, name)
    check()
    this.#model = model
    this.#tokenizer = tokenizer
    // A config.json alone, for dry runs: there is nothing that text could be for.
    if (!tokenizer) return { ...summary, source }
    this.source = source
    this.texts.use(tokenizer, chat, model.model.shape.vocab)
    this.summary = { ...summary, source }
    return this.summary
  }
}

/** With what opens a model. */
export const loadOpening = () => import('./open.ts')

/**
 * Parameters of the largest LLaMA-like model that fits: with hidden size D, its widest Gram matrix is (2.7 D)² and one
 * block with its solver takes about 150 D² bytes; models of width D have about D / 128 blocks of 12.5 D² parameters.
 */
function largestModel(budget: number, maxBinding: number): number {
  const width = Math.min(Math.sqrt(budget / 150), Math.sqrt(maxBinding / 4) / 2.7)
  return (12.5 * width ** 3) / 128
}

/** Parameters of a model whose passes take an hour, where those outweigh the solvers: three passes over 128 × 2,048 tokens. */
function modelOfAnHour(gflops: number): number {
  return (gflops * 1e9 * 3600) / (3 * 2 * 128 * 2048)
}
