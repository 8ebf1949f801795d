/** Writes a GGUF checkpoint into a folder: the head first, since all sizes are known, then each tensor at its position. */
import { WorkbenchError } from '../../../errors.ts'
import type { SolvedLinear } from '../../../quant/linear.ts'
import { readRange, type Sink } from '../../bytes.ts'
import { sha256 } from '../../digest.ts'
import type { Folder } from '../../folder.ts'
import { bf16ToF32, f16ToF32 } from '../../half.ts'
import { PartWriter } from '../../parts.ts'
import type { TensorSpec } from '../../safetensors.ts'
import { type CheckpointStream, type ExportPlan, type LinearPlan, settingsOf } from '../format.ts'
import type { GgufLayout } from './layout.ts'
import { packBlocks } from './blocks.ts'
import { packNvfp4 } from './nvfp4.ts'
import { packSuper, superTypeOf } from './super.ts'
import { type GgufTensor, readHead, tensorTypes } from './file.ts'

/** Bytes copied at a time. */
const PIECE = 16 * 2 ** 20

export class GgufStream implements CheckpointStream {
  readonly #writer: PartWriter
  readonly #linears: ReadonlyMap<string, LinearPlan>
  /** Digests of all that is not copied as it is, by name in the file. */
  readonly #digests = new Map<string, string>()
  #written: { path: string; bytes: number }[] = []

  constructor(
    readonly plan: ExportPlan,
    readonly layout: GgufLayout,
    readonly model: Folder,
    readonly sink: Sink,
  ) {
    this.#writer = new PartWriter(sink, layout.files)
    this.#linears = new Map(plan.linears.map((linear) => [linear.name, linear]))
  }

  async copy(between: () => Promise<void>): Promise<void> {
    const { checkpoint } = this.model
    const used = this.plan.copied.filter(({ name }) => this.layout.tensors.has(name))
    checkpoint.ahead(used.map(({ name }) => name))
    const { factors } = this.layout
    for (const { tensor, values } of factors) await this.#write(tensor, bytesOf(values))
    for (const spec of used) {
      const { target } = this.layout.tensors.get(spec.name)!
      if (spec.shape.length === 1 || target.floats) {
        await between()
        await this.#writeVector(spec, await checkpoint.read(spec.name))
      } else if (target.order) await this.#copyRows(spec, between)
      else if (target.columns) await this.#copyColumns(spec, between)
      else {
        const { bytes } = checkpoint.tensors.get(spec.name)!
        for (let at = 0; at < bytes; at += PIECE) {
          await between()
          await this.#writer.write(target.name, await checkpoint.readRange(spec.name, at, Math.min(bytes, at + PIECE)), at)
        }
      }
    }
  }

  /** A matrix in another order of rows, band by band. */
  async #copyRows({ name, shape }: TensorSpec, between: () => Promise<void>): Promise<void> {
    const { checkpoint } = this.model
    const { target } = this.layout.tensors.get(name)!
    const { band, from } = target.order!
    const rowBytes = checkpoint.tensors.get(name)!.bytes / shape[0]
    for (let row = 0; row < shape[0]; row += band) {
      await between()
      const sources = Array.from({ length: band }, (_, i) => from(row + i))
      const first = Math.min(...sources)
      const read = await checkpoint.readRange(name, first * rowBytes, (first + band) * rowBytes)
      const out = new Uint8Array(read.length)
      for (const [i, source] of sources.entries())
        out.set(read.subarray((source - first) * rowBytes, (source - first + 1) * rowBytes), i * rowBytes)
      await this.#writer.write(target.name, out, row * rowBytes)
    }
  }

  /** A matrix in another order of columns, some rows at a time. */
  async #copyColumns({ name, shape: [rows, cols] }: TensorSpec, between: () => Promise<void>): Promise<void> {
    const { checkpoint } = this.model
    const { target } = this.layout.tensors.get(name)!
    const { band, from } = target.columns!
    const rowBytes = checkpoint.tensors.get(name)!.bytes / rows
    const unit = rowBytes / cols
    const step = Math.max(1, Math.floor(PIECE / rowBytes))
    for (let row = 0; row < rows; row += step) {
      await between()
      const read = await checkpoint.readRange(name, row * rowBytes, Math.min(rows, row + step) * rowBytes)
      const out = new Uint8Array(read.length)
      for (let at = 0; at < out.length; at += rowBytes)
        for (let col = 0; col < cols; col += band)
          out.set(read.subarray(at + from(col) * unit, at + (from(col) + band) * unit), at + col * unit)
      await this.#writer.write(target.name, out, row * rowBytes)
    }
  }

  async linear(name: string, solved: SolvedLinear): Promise<void> {
    const { target, tensor } = this.layout.tensors.get(`${name}.weight`)!
    const scale = this.layout.scales.get(name)
    if (scale) {
      const packed = packNvfp4(solved, target.order, name, target.columns)
      await this.#write(scale, bytesOf(packed.scale))
      return this.#write(tensor, packed.bytes)
    }
    const type = superTypeOf(solved.levels)
    const { symmetric } = settingsOf(this.plan.settings, this.#linears.get(name)!)
    const bytes = type ? packSuper(solved, type, target.order, name) : packBlocks(solved, symmetric, target.order, name, target.columns)
    await this.#write(tensor, bytes)
  }

  async vector(name: string, bytes: Uint8Array): Promise<void> {
    await this.#writeVector(this.plan.changed.find((spec) => spec.name === name)!, bytes)
  }

  /** Norm weights, biases and the like are float32 in the file, whatever the model has. */
  async #writeVector({ name, dtype, shape: [rows] }: TensorSpec, bytes: Uint8Array): Promise<void> {
    const { target, tensor } = this.layout.tensors.get(name)!
    // A copy of their own, so that any typed array fits over them.
    const { buffer } = bytes.slice()
    const stored = dtype === 'F32' ? new Float32Array(buffer) : (dtype === 'F16' ? f16ToF32 : bf16ToF32)(new Uint16Array(buffer))
    const width = stored.length / rows
    const from = (i: number) => (target.order ? target.order.from(Math.floor(i / width)) * width + (i % width) : i)
    const made = stored.map((_, i) => stored[from(i)] + target.plus)
    await this.#write(tensor, bytesOf(target.decay ? made.map((value) => -Math.exp(value)) : made))
  }

  async #write({ name }: GgufTensor, bytes: Uint8Array): Promise<void> {
    await this.#writer.write(name, bytes)
    this.#digests.set(name, await sha256(bytes))
  }

  async finish(): Promise<{ path: string; bytes: number }[]> {
    this.#written = await this.#writer.finish()
    return this.#written
  }

  async verify(between: () => Promise<void>): Promise<void> {
    const { tensors, factors, scales } = this.layout
    const all = [...[...tensors.values(), ...factors].map(({ tensor }) => tensor), ...scales.values()]
    const planned = new Map(all.map((tensor) => [tensor.name, tensor]))
    for (const { path } of this.#written) {
      const file = await this.sink.open(path)
      const head = await readHead(file, path).catch((cause) => {
        throw failed(path, cause)
      })
      for (const [name, { type, shape, offset }] of head.tensors) {
        const tensor = planned.get(name)
        const fits = tensor && type === tensorTypes[tensor.dtype].id && shape.join() === tensor.shape.join()
        if (!fits || offset + tensor.bytes > file.size) throw failed(name)
        planned.delete(name)
        const digest = this.#digests.get(name)
        if (!digest) continue
        await between()
        if ((await sha256(await readRange(file, offset, offset + tensor.bytes, path))) !== digest) throw failed(name)
      }
    }
    for (const name of planned.keys()) throw failed(name)
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) => new Uint8Array(buffer, byteOffset, byteLength)

function failed(name: string, cause?: unknown): WorkbenchError {
  return new WorkbenchError(
    'storage-failed',
    `${name} reads back differently from what was written.`,
    'The disk may be failing; free some space and run again.',
    { cause },
  )
}
