/** Writes an ONNX checkpoint and reads it back; loaded only when it is needed. */
import { WorkbenchError } from '../../../errors.ts'
import type { SolvedLinear } from '../../../quant/linear.ts'
import { readRange, type Files, type Sink } from '../../bytes.ts'
import { sha256 } from '../../digest.ts'
import type { Folder } from '../../folder.ts'
import { bf16ToF32, f16ToF32, f32ToF16 } from '../../half.ts'
import { PartWriter } from '../../parts.ts'
import type { TensorSpec } from '../../safetensors.ts'
import type { NamedDecoder } from '../decoder.ts'
import { type CheckpointStream, configWith, type ExportPlan } from '../format.ts'
import { decoderGraph } from './graph.ts'
import { codesOf, cosOf, type Layout, layoutOf, scalesOf, sinOf, storedTensors, zerosOf } from './layout.ts'
import { encodeBlocks, heldBits } from './nbits.ts'
import { decodeModel, encodeModel, type External, elementTypes } from './proto.ts'

/** Bytes of a tensor copied at a time, and positions of a rotary table. */
const PIECE = 16 * 2 ** 20
const ROWS = 8192

/** What transformers.js calls a graph with weights of so many bits, and how it names the file. */
export const kinds = {
  2: { dtype: 'q2', file: 'model_q2.onnx' },
  4: { dtype: 'q4', file: 'model_q4.onnx' },
  8: { dtype: 'q8', file: 'model_quantized.onnx' },
} as const

export class OnnxStream implements CheckpointStream {
  readonly #kind: (typeof kinds)[keyof typeof kinds]
  readonly #decoder: NamedDecoder
  readonly #layout: Layout
  readonly #writer: PartWriter
  readonly #stored: Map<string, TensorSpec>
  readonly #digests = new Map<string, string>()
  #written: { path: string }[] = []

  constructor(
    readonly plan: ExportPlan,
    readonly model: Folder,
    readonly sink: Sink,
  ) {
    this.#kind = kinds[heldBits(plan.settings.bits)]
    this.#decoder = plan.decoder!
    this.#layout = layoutOf(plan, this.#decoder)
    this.#stored = new Map(storedTensors(plan, this.#decoder).map((spec) => [spec.name, spec]))
    const tensors = [...this.#layout.tensors.values()]
    const files = this.#layout.files.map((size, file) => ({
      path: `onnx/${this.#dataFile(file)}`,
      size,
      head: new Uint8Array(0),
      parts: tensors.filter((tensor) => tensor.file === file),
    }))
    this.#writer = new PartWriter(sink, files)
  }

  #dataFile(file: number): string {
    return `${this.#kind.file}_data${file ? `_${file}` : ''}`
  }

  async copy(between: () => Promise<void>): Promise<void> {
    const { checkpoint } = this.model
    const names = this.plan.copied.map(({ name }) => name).filter((name) => this.#stored.has(name))
    checkpoint.ahead(names)
    for (const name of names) {
      const { bytes, dtype } = checkpoint.tensors.get(name)!
      const scale = this.#layout.tensors.get(name)!.bytes / bytes
      for (let at = 0; at < bytes; at += PIECE) {
        await between()
        const piece = await checkpoint.readRange(name, at, Math.min(bytes, at + PIECE))
        await this.#writer.write(name, this.#converted(name, dtype, piece), at * scale)
      }
    }
  }

  async linear(name: string, solved: SolvedLinear): Promise<void> {
    const { codes, scales, zeros } = encodeBlocks(solved, this.#layout.blocks.get(name)!)
    await this.#kept(codesOf(name), codes)
    await this.#kept(scalesOf(name), scales)
    if (zeros) await this.#kept(zerosOf(name), zeros)
  }

  async vector(name: string, bytes: Uint8Array): Promise<void> {
    const spec = this.#stored.get(name)
    if (spec) await this.#kept(name, this.#converted(name, spec.dtype, bytes.slice()))
  }

  /** Writes something new, to be compared when all is there. */
  async #kept(name: string, bytes: Uint8Array): Promise<void> {
    await this.#writer.write(name, bytes)
    this.#digests.set(name, await sha256(bytes))
  }

  /** Stored bytes in the type that the file has for them; norms get what their files leave out. */
  #converted(name: string, dtype: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array {
    const { type } = this.#layout.tensors.get(name)!
    if (type === 'FLOAT16' && dtype === 'F16') return bytes
    const words = () => new Uint16Array(bytes.buffer)
    const values = dtype === 'F32' ? new Float32Array(bytes.buffer) : dtype === 'F16' ? f16ToF32(words()) : bf16ToF32(words())
    if (type === 'FLOAT16') return bytesOf(f32ToF16(within(name, values)))
    const { plus } = this.#decoder
    return bytesOf(
      plus && !name.endsWith('.bias') && this.#layout.tensors.get(name)!.dims.length === 1 ? values.map((one) => one + plus) : values,
    )
  }

  async finish(): Promise<{ path: string; bytes: number }[]> {
    for (const [i, angles] of this.#decoder.rotary.entries()) await this.#writeRotary(i, angles)
    const { dtype, file } = this.#kind
    const graph = decoderGraph(this.#decoder, this.#layout, (name) => this.#place(name))
    const encoded = encodeModel(graph)
    await this.#writer.writeFile(`onnx/${file}`, new Blob([encoded]))
    const js = { dtype, use_external_data_format: { [file]: this.#layout.files.length } }
    const config = configWith(this.model.configText, 'float32', { 'transformers.js_config': js })
    await this.#writer.writeFile('config.json', new Blob([config]))
    for (const { name } of this.model.otherFiles) await this.#writer.writeFile(name, this.model.files.get(name)!)
    this.#written = await this.#writer.finish()
    return this.#written as { path: string; bytes: number }[]
  }

  #place(name: string): External {
    const { file, offset, bytes } = this.#layout.tensors.get(name)!
    return { location: this.#dataFile(file), offset, length: bytes }
  }

  /** cos and sin of each position times each angle, computed in float64. */
  async #writeRotary(index: number, angles: number[]): Promise<void> {
    const width = angles.length
    for (let first = 0; first < this.#decoder.positions; first += ROWS) {
      const length = Math.min(ROWS, this.#decoder.positions - first) * width
      const angle = (i: number) => (first + Math.floor(i / width)) * angles[i % width]
      await this.#writer.write(cosOf(index), bytesOf(Float32Array.from({ length }, (_, i) => Math.cos(angle(i)))), 4 * first * width)
      await this.#writer.write(sinOf(index), bytesOf(Float32Array.from({ length }, (_, i) => Math.sin(angle(i)))), 4 * first * width)
    }
  }

  async verify(between: () => Promise<void>): Promise<void> {
    const files: Files = new Map(await Promise.all(this.#written.map(async ({ path }) => [path, await this.sink.open(path)] as const)))
    const path = `onnx/${this.#kind.file}`
    const graph = files.get(path)!
    const { external, nodes } = decodeModel(await readRange(graph, 0, graph.size, path))
    for (const [name, { q, p, bits, size }] of this.#layout.blocks) {
      const node = nodes.get(`${name}.out`)
      const { K, N, bits: held, block_size } = node?.ints ?? {}
      if (node?.op !== 'MatMulNBits' || K !== p || N !== q || held !== bits || block_size !== size) throw failed(name)
      if (!node.inputs.includes(codesOf(name)) || !node.inputs.includes(scalesOf(name))) throw failed(name)
    }
    for (const [name, digest] of this.#digests) {
      await between()
      const found = external.get(name)
      const planned = this.#layout.tensors.get(name)!
      if (found?.type !== elementTypes[planned.type] || found.dims.join() !== planned.dims.join()) throw failed(name)
      const file = files.get(`onnx/${found.location}`)
      if (!file || (await sha256(await readRange(file, found.offset, found.offset + found.length, name))) !== digest) throw failed(name)
    }
  }
}

function failed(name: string): WorkbenchError {
  return new WorkbenchError(
    'storage-failed',
    `${name} reads back differently from what was written.`,
    'The disk may be failing; free some space and run again.',
  )
}

/** Values that float16 holds. @throws WorkbenchError `weights-not-finite` */
function within(name: string, values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const beyond = values.find((value) => !(Math.abs(value) < 65520))
  if (beyond === undefined) return values
  throw new WorkbenchError(
    'weights-not-finite',
    `${name} contains ${beyond}, outside the range of float16, in which ONNX checkpoints store such matrices.`,
    'Choose another format.',
  )
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Uint16Array) => new Uint8Array(buffer, byteOffset, byteLength)
