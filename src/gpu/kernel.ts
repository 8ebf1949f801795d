/**
 * The WGSL file is the declaration: binding names, access, element types, the scalar fields of `Params` and the
 * workgroup size are read from the shader, so that a call passes names and nothing is declared twice.
 */
import type { DType } from './tensor.ts'

const sources = import.meta.glob<string>('/shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true })

export interface Binding {
  index: number
  name: string
  dtype: DType
  write: boolean
}

export interface KernelSource {
  name: string
  code: string
  bindings: Binding[]
  /** Scalar fields of `struct Params` in order; each takes 4 bytes. */
  params: { name: string; type: 'u32' | 'i32' | 'f32' }[]
  /** Binding index of the uniform, or null for kernels without parameters. */
  uniform: number | null
  workgroup: [number, number, number]
}

const parsed = new Map<string, KernelSource>()

/** Finds a shader by file name (without `.wgsl`) and reads its interface. */
export function kernelSource(name: string): KernelSource {
  const source = parsed.get(name) ?? parseKernel(name, expand(name))
  parsed.set(name, source)
  return source
}

export function kernelNames(): string[] {
  return Object.keys(sources)
    .map((path) => path.replace('/shaders/', '').replace('.wgsl', ''))
    .filter((name) => !name.startsWith('lib/'))
}

function expand(name: string): string {
  const text = sources[`/shaders/${name}.wgsl`]
  if (text === undefined) throw new Error(`There is no shader "${name}".`)
  return text.replace(/^\/\/#include (\S+)$/gm, (_, included: string) => expand(included))
}

export function parseKernel(name: string, code: string): KernelSource {
  const bindings: Binding[] = []
  let uniform: number | null = null
  for (const [, index, space, access, variable, type] of code.matchAll(
    /@group\(0\)\s*@binding\((\d+)\)\s*var<(storage|uniform)(?:,\s*(read_write|read))?>\s*(\w+)\s*:\s*([^;]+);/g,
  )) {
    if (space === 'uniform') uniform = Number(index)
    else bindings.push({ index: Number(index), name: variable, dtype: elementType(name, type), write: access === 'read_write' })
  }
  const fields = code.match(/struct Params\s*\{([^}]*)\}/)?.[1] ?? ''
  const params = [...fields.replace(/\/\/.*$/gm, '').matchAll(/(\w+)\s*:\s*(u32|i32|f32)/g)].map(([, field, type]) => ({
    name: field,
    type: type as 'u32' | 'i32' | 'f32',
  }))
  const size = code.match(/@workgroup_size\(([^)]*)\)/)
  if (!size) throw new Error(`Shader "${name}" names no workgroup size.`)
  const [x, y = 1, z = 1] = size[1].split(',').map(Number)
  return { name, code, bindings, params, uniform, workgroup: [x, y, z] }
}

function elementType(kernel: string, type: string): DType {
  const element = type.match(/array<(?:atomic<)?(f32|u32|vec2f|vec4f|vec2u|vec4u)/)?.[1]
  if (!element) throw new Error(`Shader "${kernel}" binds "${type}", which is no array of f32 or u32.`)
  return element === 'f32' || element.endsWith('f') ? 'f32' : 'u32'
}
