/**
 * The common part of formats whose checkpoints are folders as transformers writes them: config.json, safetensors shards, and copied
 * files. Such a format only defines the tensors of one linear.
 */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Files, Sink } from '../bytes.ts'
import { sha256 } from '../digest.ts'
import { type Folder, openFolder } from '../folder.ts'
import { f16ToF32, f32ToF16 } from '../half.ts'
import { CheckpointWriter, openCheckpoint, planCheckpoint, type TensorSpec } from '../safetensors.ts'
import {
  type CheckpointStream,
  type DtypeName,
  type ExportFormat,
  type ExportPlan,
  type ExportSettings,
  type FloatDtype,
  type LinearPlan,
  type Refusal,
  settingsOf,
} from './format.ts'

/** Bytes copied at a time. */
const PIECE = 16 * 2 ** 20

/** A solved linear that is to be written. */
export interface LinearContent {
  name: string
  solved: SolvedLinear
  /** Ŵ + H as the run used it, `[q, p]`. */
  weights: () => PromiseLike<Float32Array<ArrayBuffer>>
}

/** A linear's tensors by full name, and the arrays that reading them has to return, byte for byte. */
export interface Encoded {
  tensors: Map<string, Uint8Array>
  /** Files of its own, by path. */
  files?: Map<string, Blob>
  content: ArrayBufferView[]
}

export interface SafetensorsLayout {
  /** Specs of the tensors that replace `<name>.weight`. Here and below, `settings` are those of the linear itself. */
  tensorsFor(linear: LinearPlan, settings: ExportSettings): TensorSpec[]
  /** Contents of those tensors. They may share memory with the linear. */
  /** Bytes of the linears' own files, where they have any: at most, or as many as are expected. */
  filesBytes?(plan: ExportPlan): number
  encode(linear: LinearContent, settings: ExportSettings): Promise<Encoded>
  /**
   * Opens a finished folder like any other checkpoint. Returns a function that reads a linear, and returns null when its tensors are not
   * as they should be.
   */
  open(files: Files): Promise<(linear: LinearPlan) => Promise<ArrayBufferView[] | null>>
  /** The dtype that config.json declares, for a model whose hidden states reach at most `peak`. */
  declares(dtype: FloatDtype, peak: number): DtypeName
  /** The config files to write; `originalText` is the model's own config.json as it was. */
  configFiles(originalText: string, plan: ExportPlan, declared: DtypeName): { path: string; text: string }[]
  /** Files that are the same in every checkpoint, which come when one is written. */
  companions?(): Promise<{ path: string; text: string }[]>
}

/** The methods of an export format that follow from its layout. */
export function safetensorsFolder(layout: SafetensorsLayout): Pick<ExportFormat, 'bytes' | 'declares' | 'write'> {
  return {
    declares: layout.declares,
    bytes: (plan) => planCheckpoint(tensorsOf(plan, layout)).bytes + (layout.filesBytes?.(plan) ?? 0),
    write: (plan, model, sink) => new FolderStream(layout, plan, model, sink),
  }
}

/** Every tensor of the checkpoint in file order, the copied ones first. */
const tensorsOf = ({ copied, changed, linears, settings }: ExportPlan, layout: SafetensorsLayout) => [
  ...copied,
  ...changed,
  ...linears.flatMap((linear) => layout.tensorsFor(linear, settingsOf(settings, linear))),
]

/** What reading a packed linear gives again. A kernel may return −0 for a zero point, which is stored as 0. */
export const packedContent = ({ codes, grid, groupIndex }: SolvedLinear): ArrayBufferView[] => [
  codes,
  grid.map((value) => value + 0),
  groupIndex,
]

/** Opens a finished folder of packed linears. */
export const openPacked: SafetensorsLayout['open'] = async (files) => {
  const { packing, checkpoint } = await openFolder(files)
  return async (linear) => packing && packedContent(await packing.read(checkpoint, linear.name, linear))
}

/** Scales `[groups, q]` of a grid as float16. @throws Error for one that is no float16 number: solvers round them before they use them */
export function halfScales(name: string, { grid, q, groups }: SolvedLinear): Uint16Array {
  const scales = Float32Array.from({ length: groups * q }, (_, i) => grid[2 * i])
  const halves = f32ToF16(scales)
  const inexact = f16ToF32(halves).findIndex((scale, i) => scale !== scales[i])
  if (inexact >= 0) throw new Error(`Scale ${scales[inexact]} of ${name} is no float16 number`)
  return halves
}

/** GPTQModel's rules, "-:" and a pattern from the start of a path, that leave out what stays whole. */
export function skipRules({ dynamicSkips, otherModules = [] }: ExportSettings): Record<string, unknown> | null {
  const rules = [
    ...dynamicSkips.map((path) => `-:${path.replace(/[^\w]/g, '\\$&')}(\\.|$)`),
    ...otherModules.map((name) => `-:(.*\\.)?${name}(\\.|$)`),
  ]
  return rules.length ? Object.fromEntries(rules.map((rule) => [rule, {}])) : null
}

/** Linears of blocks that stay whole, by module path: a list of names is read alike everywhere; patterns are not. */
export function wholeLinears({ settings: { dynamicSkips }, copied }: ExportPlan): string[] {
  return copied
    .filter(({ name, shape }) => shape.length === 2 && dynamicSkips.some((path) => name.startsWith(`${path}.`)))
    .map(({ name }) => name.replace(/\.weight$/, ''))
}

/** Why a layout of whole groups in their original order, `what`, does not hold those of a plan. */
export function heldGroups({ settings: { groupSize, actOrder }, linears }: ExportPlan, what: string): Refusal | null {
  if (actOrder)
    return {
      why: `${what} cannot store groups that follow act-order; vLLM and others no longer read these.`,
      instead: 'Turn on static groups, choose the full row, or turn act-order off.',
    }
  const uneven = groupSize > 0 ? linears.find(({ p }) => p % groupSize) : undefined
  if (!uneven) return null
  const divides = [128, 64, 32].filter((size) => linears.every(({ p }) => p % size === 0))
  return {
    why: `${uneven.name} has ${uneven.p} inputs, which groups of ${groupSize} do not divide; ${what} supports whole groups only.`,
    instead: `Choose ${[...divides.map((size) => `groups of ${size}`), 'the full row'].join(', ')}, or the format “GPTQ” (gptq).`,
  }
}

class FolderStream implements CheckpointStream {
  readonly #writer: CheckpointWriter
  readonly #vectors = new Map<string, Uint8Array>()
  readonly #linears: ReadonlyMap<string, LinearPlan>
  readonly #digests = new Map<string, string>()
  #written: { path: string }[] = []

  constructor(
    readonly layout: SafetensorsLayout,
    readonly plan: ExportPlan,
    readonly model: Folder,
    readonly sink: Sink,
  ) {
    this.#writer = new CheckpointWriter(sink, tensorsOf(plan, layout))
    this.#linears = new Map(plan.linears.map((linear) => [linear.name, linear]))
  }

  async copy(between: () => Promise<void>): Promise<void> {
    const { checkpoint } = this.model
    checkpoint.ahead(this.plan.copied.map(({ name }) => name))
    for (const { name } of this.plan.copied) {
      const { bytes } = checkpoint.tensors.get(name)!
      for (let at = 0; at < bytes; at += PIECE) {
        await between()
        await this.#writer.write(name, await checkpoint.readRange(name, at, Math.min(bytes, at + PIECE)), at)
      }
    }
  }

  async linear(name: string, solved: SolvedLinear, weights: LinearContent['weights']): Promise<void> {
    const settings = settingsOf(this.plan.settings, this.#linears.get(name)!)
    const { tensors, files, content } = await this.layout.encode({ name, solved, weights }, settings)
    for (const [tensor, bytes] of tensors) await this.#writer.write(tensor, bytes)
    for (const [path, file] of files ?? []) await this.#writer.writeFile(path, file)
    this.#digests.set(name, await digestOf(content))
  }

  async vector(name: string, bytes: Uint8Array): Promise<void> {
    await this.#writer.write(name, bytes)
    this.#vectors.set(name, bytes)
  }

  async finish(peak: number): Promise<{ path: string; bytes: number }[]> {
    const { layout, plan, model } = this
    const declared = layout.declares(plan.settings.dtype, peak)
    const texts = [...layout.configFiles(model.configText, plan, declared), ...((await layout.companions?.()) ?? [])]
    for (const { path, text } of texts) await this.#writer.writeFile(path, new Blob([text]))
    for (const { name } of model.otherFiles) await this.#writer.writeFile(name, model.files.get(name)!)
    const files = await this.#writer.finish()
    this.#written = files
    return files
  }

  async verify(between: () => Promise<void>): Promise<void> {
    const files: Files = new Map(await Promise.all(this.#written.map(async ({ path }) => [path, await this.sink.open(path)] as const)))
    const checkpoint = await openCheckpoint(files)
    for (const [name, bytes] of this.#vectors) {
      const stored = await checkpoint.readRange(name, 0, bytes.length)
      if (bytes.some((byte, i) => byte !== stored[i])) throw failed(name)
    }
    const read = await this.layout.open(files)
    for (const linear of this.plan.linears) {
      await between()
      const content = await read(linear)
      if (!content || (await digestOf(content)) !== this.#digests.get(linear.name)) throw failed(linear.name)
    }
  }
}

function failed(name: string): WorkbenchError {
  return new WorkbenchError(
    'storage-failed',
    `${name} reads back differently from what was written.`,
    'The disk may be failing; use another disk or free some space, then run again.',
  )
}

async function digestOf(contents: ArrayBufferView[]): Promise<string> {
  return (await Promise.all(contents.map(sha256))).join('-')
}
