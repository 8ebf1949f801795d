/** Tensors of an ONNX checkpoint, and their positions in the files next to the graph. */
import type { NamedDecoder } from '../decoder.ts'
import type { ExportPlan } from '../format.ts'
import { defaultShardBytes, type TensorSpec } from '../../safetensors.ts'
import { type Blocks, blocksOf, partBytes } from './nbits.ts'
import type { ElementType } from './proto.ts'

/** Parts of a quantized linear, by what their names end with. */
export const codesOf = (linear: string) => `${linear}.qweight`
export const scalesOf = (linear: string) => `${linear}.scales`
export const zerosOf = (linear: string) => `${linear}.qzeros`
/** Tables of cos and sin `[positions, headDim / 2]` for one list of angles. */
export const cosOf = (rotary: number) => `rotary.${rotary}.cos`
export const sinOf = (rotary: number) => `rotary.${rotary}.sin`

export interface PlannedTensor {
  name: string
  type: ElementType
  dims: readonly number[]
  bytes: number
  /** Index of the file, and the first byte in it. */
  file: number
  offset: number
}

export interface Layout {
  tensors: Map<string, PlannedTensor>
  /** Bytes of each file. */
  files: number[]
  /** Blocks of each quantized linear. */
  blocks: Map<string, Blocks>
}

/** Larger tensors start at pages, so that a file can be mapped into memory; others where any element type may start. */
const PAGE = 4096
const LARGE = 2 ** 20
const SMALL_ALIGNMENT = 16

const elementBytes: Record<ElementType, number> = { FLOAT: 4, FLOAT16: 2, UINT8: 1, INT32: 4, INT64: 8 }

/** Lays out all tensors of a plan that the format accepts. */
export function layoutOf(plan: ExportPlan, decoder: NamedDecoder, fileBytes = defaultShardBytes): Layout {
  const layout: Layout = { tensors: new Map(), files: [0], blocks: new Map() }
  const add = (name: string, type: ElementType, dims: readonly number[]) => {
    const bytes = dims.reduce((product, dim) => product * dim, elementBytes[type])
    const alignment = bytes >= LARGE ? PAGE : SMALL_ALIGNMENT
    let file = layout.files.length - 1
    let offset = Math.ceil(layout.files[file] / alignment) * alignment
    if (offset && offset + bytes > fileBytes) [file, offset] = [file + 1, 0]
    layout.files[file] = offset + bytes
    layout.tensors.set(name, { name, type, dims, bytes, file, offset })
  }
  for (const { name, dtype, shape } of storedTensors(plan, decoder))
    add(name, shape.length > 1 && dtype !== 'F32' ? 'FLOAT16' : 'FLOAT', shape)
  for (const linear of plan.linears) {
    const blocks = blocksOf(linear, plan.settings)!
    layout.blocks.set(linear.name, blocks)
    const { q, size, count, bits } = blocks
    add(codesOf(linear.name), 'UINT8', [q, count, (size * bits) / 8])
    add(scalesOf(linear.name), 'FLOAT', [q * count])
    const { zeros } = partBytes(blocks)
    if (zeros) add(zerosOf(linear.name), 'UINT8', [zeros])
  }
  const table = [decoder.positions, decoder.headDim / 2]
  decoder.rotary.forEach((_, i) => {
    add(cosOf(i), 'FLOAT', table)
    add(sinOf(i), 'FLOAT', table)
  })
  return layout
}

/** Tensors of the model that the graph uses, changed or not: matrices that stay whole, norms and biases. */
export function storedTensors({ copied, changed }: ExportPlan, decoder: NamedDecoder): TensorSpec[] {
  const used = new Set(usedNames(decoder))
  return [...copied, ...changed].filter(({ name }) => used.has(name))
}

function usedNames({ prefix, embedding, head, norms, blocks, biased }: NamedDecoder): string[] {
  const { last, ...inside } = norms
  const modules = [...Object.values(inside), ...linearNames]
  return [
    embedding,
    head,
    `${prefix}${last}.weight`,
    ...blocks.flatMap(({ path }) => [
      ...modules.map((name) => `${prefix}${path}.${name}.weight`),
      ...biased.map((name) => `${prefix}${path}.${name}.bias`),
    ]),
  ]
}

const linearNames = [
  ...['q', 'k', 'v', 'o'].map((part) => `self_attn.${part}_proj`),
  ...['gate', 'up', 'down'].map((part) => `mlp.${part}_proj`),
]
