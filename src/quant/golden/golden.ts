/** Reads the golden vectors: inputs, expected results and their tolerances, made by a float64 reference. */
import { readFile } from 'node:fs/promises'

export interface Golden {
  dataset: string
  name: string
  algorithm: string
  params: {
    bits: number
    group: number
    sym?: boolean
    mse?: boolean
    actorder?: boolean
    static?: boolean
    iters?: number
    relax?: boolean
    fraction?: number
    structured?: boolean
    clip?: boolean
  }
  rel_error: number
  tie_margin?: number
  /** AWQ's exponent. */
  alpha?: number
}

export type Arrays = Map<string, { shape: number[]; data: Float64Array }>

const folder = new URL('./', import.meta.url)

export async function goldenCases(algorithm: string): Promise<Golden[]> {
  const manifest = JSON.parse(await readFile(new URL('manifest.json', folder), 'utf8'))
  return manifest.datasets.flatMap((set: { name: string; cases: Golden[] }) =>
    set.cases.filter((one) => one.algorithm === algorithm).map((one) => ({ ...one, dataset: set.name })),
  )
}

const opened = new Map<string, Promise<Arrays>>()

/** `<set>.inputs` or `<set>.cases` */
export function goldenArrays(name: string): Promise<Arrays> {
  const arrays = opened.get(name) ?? read(name)
  opened.set(name, arrays)
  return arrays
}

async function read(name: string): Promise<Arrays> {
  const file = await readFile(new URL(`${name}.safetensors`, folder))
  const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength)
  const length = Number(new DataView(bytes).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)))
  const arrays: Arrays = new Map()
  for (const [key, { dtype, shape, data_offsets }] of Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(
    header,
  )) {
    const data = bytes.slice(8 + length + data_offsets[0], 8 + length + data_offsets[1])
    const typed = { F32: Float32Array, F64: Float64Array, U8: Uint8Array, I32: Int32Array }[dtype]
    if (!typed) throw new Error(`${key}: ${dtype}`)
    arrays.set(key, { shape, data: Float64Array.from(new typed(data)) })
  }
  return arrays
}
