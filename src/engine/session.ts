/**
 * What is open while somebody works: one device, one model with its tokenizer, and the texts. Shared by the worker and
 * the terminal, which differ only in where files come from and go to.
 */
import type { ChatTemplateFile } from '../data/chat.ts'
import type { ListDataset } from '../data/datasets.ts'
import type { TextTokenizer } from '../data/tokenizer.ts'
import { WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import { chooseGemm, probeArithmetic } from '../gpu/measure.ts'
import { type OpenOptions, WebGpuDevice } from '../gpu/webgpu.ts'
import type { Files } from '../io/bytes.ts'
import { openConfig, openFolder } from '../io/folder.ts'
import { formats } from '../io/formats/index.ts'
import { blankModel } from '../models/blank.ts'
import { kindsOf, linearsOf } from '../models/family.ts'
import { families } from '../models/index.ts'
import { type OpenModel, openModel } from '../models/weights.ts'
import { choosePanel, usePanel as takePanel } from '../quant/descent.ts'
import { solvers } from '../quant/index.ts'
import { runOptions } from './run-options.ts'
import { dryDevices } from './devices.ts'
import type { Catalog, GpuSummary, HubOrigin, ModelSummary, Problem } from './job.ts'
import { Pace } from './pace.ts'
import { loadTokenizers, type TextFile, Texts } from './texts.ts'

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
  #summary: GpuSummary | null = null
  #model: OpenModel | null = null
  #tokenizer: TextTokenizer | null = null
  readonly texts: Texts
  /** Where the open model came from; null for a folder. */
  source: HubOrigin | null = null
  /** What was told of the open model. */
  summary: ModelSummary | null = null
  #openings = 0

  constructor(
    readonly gpuSource: GPU | undefined,
    texts: TextFile[] = [],
    /** How data sets of the Hub are listed; null without a way to it. */
    list: ListDataset | null = null,
    /** How the device is opened. */
    readonly gpuOptions?: OpenOptions,
  ) {
    this.texts = new Texts(texts, list)
  }

  get catalog(): Catalog {
    return {
      solvers: solvers.map(({ id, label, summary, advice, recommended, own, options }) => ({
        id,
        label,
        summary,
        advice,
        recommended,
        own,
        options,
      })),
      runOptions,
      families: families.map(({ id, label, modelTypes }) => ({ id, label, modelTypes })),
      formats: formats.map(({ id, label, summary }) => ({ id, label, summary })),
      texts: this.texts.sources,
      devices: dryDevices,
    }
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
      await chooseGemm(gpu)
      return gpu
    }
    this.#gpu = open().catch((error) => {
      this.#gpu = null
      throw error
    })
    return this.#gpu
  }

  /** Another device in place of this one, whatever state it is in. @throws WorkbenchError `gpu-missing` */
  async renewGpu(): Promise<Device> {
    const gpu = await this.#gpu
    this.#gpu = null
    gpu?.destroy()
    return this.gpu()
  }

  /** What tells this device from others: all that it and the browser say of themselves, and bits of its arithmetic. */
  async adapterTraits(): Promise<AdapterTraits> {
    const gpu = await this.gpu()
    return { told: gpu.info.told, arithmetic: [...(await probeArithmetic(gpu))], browser: globalThis.navigator?.userAgent ?? '' }
  }

  /** What the device is and can, with its measured GEMM rate. */
  async gpuSummary(): Promise<GpuSummary> {
    const gpu = await this.gpu()
    if (!this.#summary) {
      const { memoryBudget, gflops } = gpu
      const { told, ...info } = gpu.info
      this.#summary = {
        ...info,
        memoryBudget,
        fitsParameters: largestModel(memoryBudget, gpu.info.maxBinding),
        hourParameters: gpu.info.kind === 'software' ? modelOfAnHour(gflops) : null,
        gflops,
        gemmKernel: gpu.gemm,
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
    this.#summary = { ...(await this.gpuSummary()), gemmKernel, sweepPanel }
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
    const config = await openConfig(files)
    if (config) {
      check()
      const blank = blankModel(name ? { ...config, name } : config)
      this.#model = blank
      this.#tokenizer = null
      return { ...summaryOf(blank, null), source, chatTemplate: false, problems: [] }
    }
    const folder = await openFolder(files, name)
    const model = openModel(folder)
    const [{ loadTokenizer }, { loadVocabulary }] = await Promise.all([loadTokenizers(), loadVocabularies()])
    const tokenizer = await loadTokenizer(folder.files)
    const vocabulary = await loadVocabulary(folder.files, tokenizer)
    const { chat, problems } = await openChatTemplate(folder.files)
    const remarks = [...model.remarks, ...tokenizer.remarks].map((remark): Problem => ({ severity: 'warning', code: 'note', ...remark }))
    check()
    this.#model = { ...model, vocabulary }
    this.#tokenizer = tokenizer
    this.source = source
    this.texts.use(tokenizer, chat, model.model.shape.vocab)
    this.summary = {
      ...summaryOf(model, tokenizer),
      source,
      chatTemplate: chat !== null && !(chat instanceof WorkbenchError),
      problems: [...remarks, ...problems],
    }
    return this.summary
  }
}

/** With what opens a model and its chat template. */
export const loadVocabularies = () => import('../data/vocabulary.ts')

/** A template that cannot be used is no reason not to open the model. */
async function openChatTemplate(files: Files): Promise<{ chat: ChatTemplateFile | WorkbenchError | null; problems: Problem[] }> {
  try {
    const { loadChatTemplate } = await loadVocabularies()
    return { chat: await loadChatTemplate(files), problems: [] }
  } catch (error) {
    if (!(error instanceof WorkbenchError)) throw error
    const { code, message, hint } = error
    return { chat: error, problems: [{ severity: 'warning', code, message, hint }] }
  }
}

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

function summaryOf(opened: OpenModel, tokenizer: TextTokenizer | null): Omit<ModelSummary, 'source' | 'chatTemplate' | 'problems'> {
  const { folder, family, model } = opened
  const { shape } = model
  const { packing } = folder
  return {
    name: folder.name,
    family: family.id,
    familyLabel: opened.partOf === null ? family.label : `${family.label}, the text model of ${opened.partOf}`,
    parameters: opened.parameters,
    quantizable: model.layouts.flatMap(linearsOf).reduce((sum, { q, p }) => sum + q * p, 0),
    dtype: opened.dtype,
    blocks: shape.blocks,
    hidden: shape.hidden,
    heads: shape.heads,
    kvHeads: shape.kvHeads,
    ffn: shape.ffn,
    vocab: shape.vocab,
    maxPositions: shape.maxPositions,
    tiedHead: opened.head === opened.embedding,
    bytes: folder.checkpoint.bytes,
    tokenizer: tokenizer && { kind: tokenizer.kind, vocab: tokenizer.vocab },
    license: folder.license,
    quantized: packing && {
      format: packing.label,
      bits: packing.bits,
      groupSize: packing.groupSize,
      symmetric: packing.symmetric,
      actOrder: packing.actOrder ?? false,
      method: packing.method,
    },
    linears: kindsOf(model)
      .flatMap(linearsOf)
      .map(({ name, q, p }) => ({ name, shape: [q, p] })),
    tensors: [...folder.checkpoint.tensors.values()].map(({ name, dtype, shape, bytes, file }) => ({
      name,
      dtype,
      shape: [...shape],
      bytes,
      file,
    })),
    otherFiles: folder.otherFiles,
  }
}
