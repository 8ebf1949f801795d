/**
 * The forms of matrix products, one of which a device uses for all of them: a kernel, and the shape of its workgroups. All add the terms of
 * a sum in blocks of 64, but not within these in the same order, so a job keeps the form that it began with.
 */
import { WorkbenchError } from '../../errors.ts'
import { kernelFor } from '../kernel.ts'
import type { DType } from '../tensor.ts'

interface GemmForm {
  kernel: 'gemm_direct' | 'gemm_tiled' | 'gemm_buffered' | 'gemm_broadcast'
  /** Rows and columns of C that a workgroup makes. */
  rows: number
  cols: number
  /** Invocations of a workgroup along a row and down, where they are not those of lib/shape.wgsl. */
  shape?: [across: number, down: number]
  /** In words, after "Matrix product". */
  label: string
}

const tiled = (rows: number, cols: number) => ({
  kernel: 'gemm_tiled' as const,
  rows,
  cols,
  label: `tiles of ${rows} × ${cols} in workgroup memory`,
})

const broadcast = (cols: number) => ({
  kernel: 'gemm_broadcast' as const,
  rows: 16,
  cols,
  label: `tiles of 16 × ${cols}, passed around in subgroups`,
})

const table = {
  tiled: tiled(64, 64),
  'tiled 128×128': { ...tiled(128, 128), shape: [16, 16] },
  'tiled 128×64': { ...tiled(128, 64), shape: [8, 16] },
  // All the workgroup memory that every device has.
  buffered: { kernel: 'gemm_buffered', rows: 64, cols: 64, label: 'tiles of 64 × 64 in workgroup memory, the next ones fetched meanwhile' },
  'broadcast 16×32': broadcast(32),
  'broadcast 16×128': { ...broadcast(128), shape: [32, 1] },
  direct: { kernel: 'gemm_direct', rows: 32, cols: 32, label: 'direct from storage' },
} satisfies Record<string, GemmForm>

export type GemmFormName = keyof typeof table
export const gemmForms: Record<GemmFormName, GemmForm> = table
export const gemmFormNames = Object.keys(table) as [GemmFormName, ...GemmFormName[]]

/** @throws {WorkbenchError} `plan-invalid` for a name that is in no table of this version */
export function formNamed(name: string): GemmFormName {
  const form = gemmFormNames.find((one) => one === name)
  if (form) return form
  throw new WorkbenchError(
    'plan-invalid',
    `This version knows no matrix product “${name}”.`,
    'Use the version that began this, or begin anew.',
  )
}

/** The forms that a device can run, those first that are expected to be quick. */
export function formsFor({ kind, name, subgroups }: { kind: 'gpu' | 'software'; name: string; subgroups: boolean }): GemmFormName[] {
  // On SwiftShader direct is 5 times faster than tiles and 1.1 times faster than what subgroups pass around.
  if (/swiftshader/i.test(name) || (kind === 'software' && !subgroups)) return ['direct']
  // On a processor each takes a second or more to compile, direct most.
  if (kind === 'software') return ['broadcast 16×32', 'tiled', 'direct']
  return gemmFormNames.filter((form) => subgroups || gemmForms[form].kernel !== 'gemm_broadcast')
}

/** The kernel of a form for a right operand of this element type, and a left one in f32 or `narrowed`. */
export function gemmKernel(form: GemmFormName, dtype: DType, narrowed = false): string {
  const { kernel, shape } = gemmForms[form]
  if (!shape) return kernelFor(kernel, dtype, { narrowed })
  const [across, down] = shape
  return kernelFor(kernel, dtype, {
    narrowed,
    kind: `${across} × ${down}`,
    includes: { 'lib/shape': `const ACROSS = ${across}u;\nconst DOWN = ${down}u;` },
  })
}
