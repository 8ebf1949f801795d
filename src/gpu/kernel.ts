/**
 * The WGSL file is the declaration: binding names, access, element types, the scalar fields of `Params` and the
 * workgroup size are read from the shader, so that a call passes names and nothing is declared twice.
 */
import { type DType, isHalf } from './tensor.ts'

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
  /** Where each line of `code` comes from: the code of `//#include`d files stands in place. */
  lines: SourceLine[]
}

interface SourceLine {
  /** Below `shaders/`. */
  file: string
  /** Counted from 1. */
  line: number
  text: string
}

const parsed = new Map<string, KernelSource>()

/** Finds a shader by file name (without `.wgsl`) and reads its interface. */
export function kernelSource(name: string): KernelSource {
  const known = parsed.get(name)
  if (known) return known
  const lines = expand(name)
  const source = parseKernel(name, lines.map(({ text }) => text).join('\n'), lines)
  parsed.set(name, source)
  return source
}

/** The file and line that line `line` (from 1) of a kernel's code was read from, such as `lib/half.wgsl, line 12`. */
export function originOf({ name, lines }: Pick<KernelSource, 'name' | 'lines'>, line: number): string {
  const at = lines[line - 1]
  return at ? `${at.file}, line ${at.line}` : `${name}.wgsl`
}

/**
 * The kernel that takes an operand (lib/operand.wgsl) of this element type, and of another kind in other respects where that is given.
 * `narrowed`: its left one (lib/left.wgsl) is what narrow.wgsl makes.
 */
export function kernelFor(name: string, dtype: DType, { kind, includes, narrowed }: Partial<Kind> & { narrowed?: boolean } = {}): string {
  const half = isHalf(dtype) && { 'lib/operand': sources[`/shaders/lib/operand_${dtype}.wgsl`] }
  const left = narrowed && { 'lib/left': sources['/shaders/lib/left_f16.wgsl'] }
  const kinds = [kind, left && 'narrowed', half && dtype].filter(Boolean)
  return kinds.length ? kernelVariant(name, kinds.join(', '), { ...includes, ...left, ...half }) : name
}

/** The kernel that rounds x to f16 (narrow.wgsl) after its columns were multiplied by `factors`. */
export const narrowFactored = () => kernelVariant('narrow', 'factors', { 'lib/factor': sources['/shaders/lib/factor_read.wgsl'] })

/** What tells a kernel from its siblings: a name, and the code of includes. */
interface Kind {
  kind: string
  includes: Record<string, string>
}

/** A kernel in which includes have other code, by their names; `kind` tells it from its siblings. Returns the name to run it by. */
export function kernelVariant(name: string, kind: string, includes: Record<string, string>): string {
  const variant = `${name} (${kind})`
  if (!parsed.has(variant)) {
    const lines = expand(name, (included) =>
      Object.hasOwn(includes, included) ? { file: `${included} (${kind})`, source: includes[included] } : null,
    )
    parsed.set(variant, parseKernel(variant, lines.map(({ text }) => text).join('\n'), lines))
  }
  return variant
}

export function kernelNames(): string[] {
  return Object.keys(sources)
    .map((path) => path.replace('/shaders/', '').replace('.wgsl', ''))
    .filter((name) => !name.startsWith('lib/'))
}

type Replace = (included: string) => { file: string; source: string } | null

/** A shader with the code of what it includes in place, each once. */
function expand(name: string, replace: Replace = () => null, seen = new Set<string>()): SourceLine[] {
  if (seen.has(name)) return []
  seen.add(name)
  const { file, source } = replace(name) ?? { file: `${name}.wgsl`, source: sources[`/shaders/${name}.wgsl`] }
  if (source === undefined) throw new Error(`There is no shader "${name}".`)
  return source.split('\n').flatMap((text, i) => {
    const included = text.match(/^\/\/#include (\S+)$/)?.[1]
    return included ? expand(included, replace, seen) : [{ file, line: i + 1, text }]
  })
}

/** Reads the interface of a kernel from its code. */
export function parseKernel(name: string, code: string, lines: SourceLine[] = []): KernelSource {
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
  const [x, y = 1, z = 1] = size[1].split(',').map((side) => Number(code.match(new RegExp(`const ${side.trim()} = (\\d+)u;`))?.[1] ?? side))
  return { name, code, bindings, params, uniform, workgroup: [x, y, z], lines }
}

function elementType(kernel: string, type: string): DType {
  const element = type.match(/array<(?:atomic<)?(f32|u32|vec2f|vec4f|vec2u|vec4u)/)?.[1]
  if (!element) throw new Error(`Shader "${kernel}" binds "${type}", which is no array of f32 or u32.`)
  return element === 'f32' || element.endsWith('f') ? 'f32' : 'u32'
}
