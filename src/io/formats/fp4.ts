/**
 * FP4 in the files of compressed-tensors, in blocks of 32 (MXFP4, format mxfp4-pack-quantized) or 16 inputs (NVFP4, nvfp4-pack-quantized).
 * Per linear of `[q, p]`, in G blocks:
 *   `.weight_packed`        U8 `[q, p/2]`       two numbers of 4 bits a byte, the first in the low half
 *   `.weight_scale`         U8 `[q, G]`         MXFP4: exponents of powers of two, with a bias of 127
 *                           F8_E4M3 `[q, G]`    NVFP4
 *   `.weight_global_scale`  F32 `[1]`           NVFP4: by which block scales are divided
 * W[n,k] = e2m1(code[n,k]) · weight_scale[n,g] (/ weight_global_scale). Those of NVFP4 that are written here are powers of two, and the same
 * for all linears with the same inputs: vLLM takes one for linears that it computes together.
 */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { transposed, bytesOf } from '../bits.ts'
import { e4m3ToF32, f32ToE4m3, powersOfTwo } from '../half.ts'
import type { Checkpoint, Dtype, TensorSpec } from '../safetensors.ts'
import { expectTensor, type Size } from './packing.ts'

export type Fp4 = 'mxfp4' | 'nvfp4'

/** What tells the two apart. */
export const fp4Types = {
  mxfp4: { label: 'MXFP4', block: 32, format: 'mxfp4-pack-quantized', strategy: 'group', scale: 'U8', scaleDtype: 'torch.uint8' },
  nvfp4: {
    ...{ label: 'NVFP4', block: 16, format: 'nvfp4-pack-quantized', strategy: 'tensor_group' },
    ...{ scale: 'F8_E4M3', scaleDtype: 'torch.float8_e4m3fn' },
  },
} as const satisfies Record<Fp4, { label: string; block: number; format: string; strategy: string; scale: Dtype; scaleDtype: string }>

export const isFp4 = (levels: string | undefined): levels is Fp4 => levels !== undefined && Object.hasOwn(fp4Types, levels)

/** The tensors of a linear. */
export function fp4Tensors(name: string, { q, p }: Size, type: Fp4): TensorSpec[] {
  const { block, scale } = fp4Types[type]
  return [
    { name: `${name}.weight_packed`, dtype: 'U8', shape: [q, p / 2] },
    { name: `${name}.weight_scale`, dtype: scale, shape: [q, Math.ceil(p / block)] },
    ...(type === 'nvfp4' ? [{ name: `${name}.weight_global_scale`, dtype: 'F32', shape: [1] }] : []),
  ]
}

/** Contents of those tensors. @throws {Error} for cells that are not of the type */
export function encodeFp4(name: string, solved: SolvedLinear, type: Fp4): Map<string, Uint8Array> {
  const { q, p, groups, codes, grid } = solved
  const scales = Float32Array.from({ length: groups * q }, (_, i) => grid[2 * ((i % groups) * q + Math.floor(i / groups))])
  const packed = bytesOf(transposed(codes, codes.length / q)).subarray(0, (q * p) / 2)
  const content = [packed, type === 'mxfp4' ? powersOfTwo(name, scales) : f32ToE4m3(name, nvfp4Scales(name, solved, scales))]
  if (type === 'nvfp4') content.push(bytesOf(Float32Array.of(1 / grid[1])))
  return new Map(fp4Tensors(name, solved, type).map((tensor, i) => [tensor.name, content[i]]))
}

/** Block scales of NVFP4 as a part of the scale of the tensor. @throws {Error} where cells do not have that in common */
export function nvfp4Scales(name: string, { grid }: SolvedLinear, scales: Float32Array): Float32Array {
  const unit = grid[1]
  if (grid.some((value, i) => i & 1 && value !== unit)) throw new Error(`Cells of ${name} have no scale of the tensor in common`)
  return scales.map((scale) => scale / unit)
}

/** @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `weights-not-finite` */
export async function readFp4(checkpoint: Checkpoint, name: string, { q, p }: Size, type: Fp4): Promise<SolvedLinear> {
  const { block, label } = fp4Types[type]
  const [packed, scale, global] = expectFp4(checkpoint, name, { q, p }, type)
  const groups = p / block
  const bytes = await checkpoint.read(scale)
  const scales = type === 'nvfp4' ? e4m3ToF32(bytes) : Float32Array.from(bytes, (byte) => (byte === 255 ? Number.NaN : 2 ** (byte - 127)))
  const divisor = global ? new Float32Array((await checkpoint.read(global)).slice().buffer)[0] : 1
  const unit = Math.fround(1 / divisor)
  const wrong = !(divisor > 0 && Number.isFinite(divisor) && Number.isFinite(unit)) ? divisor : scales.find((one) => !Number.isFinite(one))
  if (wrong !== undefined)
    throw new WorkbenchError(
      'weights-not-finite',
      `${name} has a scale of ${wrong}, which ${label} does not allow.`,
      'The checkpoint is damaged; download or quantize it again.',
    )
  const grid = new Float32Array(2 * groups * q)
  for (let n = 0; n < q; n++)
    for (let g = 0; g < groups; g++) {
      const at = 2 * (g * q + n)
      grid[at] = scales[n * groups + g] / divisor
      grid[at + 1] = type === 'nvfp4' ? unit : 0
    }
  const words = new Uint32Array((await checkpoint.read(packed)).slice().buffer)
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / block))
  return { levels: type, bits: 4, q, p, groupSize: block, groups, codes: transposed(words, q), grid, groupIndex, outliers: null }
}

/** Names of the tensors of a linear, dtypes and shapes checked. @throws WorkbenchError `tensor-missing`, `tensor-mismatch` */
export function expectFp4(checkpoint: Checkpoint, name: string, { q, p }: Size, type: Fp4): string[] {
  const { label, block } = fp4Types[type]
  const found = fp4Tensors(name, { q, p }, type).map((tensor) =>
    expectTensor(checkpoint, tensor.name, [tensor.dtype as Dtype], [...tensor.shape]),
  )
  if (p % block)
    throw new WorkbenchError(
      'tensor-mismatch',
      `${name} has ${p} inputs, which the blocks of ${block} of ${label} do not divide.`,
      'Check that config.json and the weights are of the same model.',
    )
  return found.map((tensor) => tensor.name)
}
