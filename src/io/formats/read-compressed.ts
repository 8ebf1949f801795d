/**
 * Reads checkpoints of compressed-tensors in the formats pack-quantized, mxfp4-pack-quantized and nvfp4-pack-quantized, written by any program. The layout is described in
 * compressed-tensors.ts, which writes it. The config group of a linear is recognized by the shapes of its tensors, since the module
 * patterns in such configs are a language of their own.
 */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { getBits, transposed, words } from '../bits.ts'
import { agreed } from '../facts.ts'
import type { JsonObject } from '../json.ts'
import type { Checkpoint } from '../safetensors.ts'
import { z } from '../zod.ts'
import { expectFp4, type Fp4, fp4Types, readFp4 } from './fp4.ts'
import {
  correct,
  describe,
  expectTensor,
  objects,
  type Packing,
  type QuantizationConfig,
  readScales,
  type Size,
  unreadable,
} from './packing.ts'

/** How the linears of a config group are quantized. */
interface Scheme {
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  symmetric: boolean
  /** Numbers of 4 bits in place of integers. */
  float: Fp4 | null
}

const weights = z.object({
  num_bits: z.int(),
  type: z.string().nullish(),
  symmetric: z.boolean().nullish(),
  strategy: z.string().nullish(),
  group_size: z.int().nullish(),
  dynamic: z.unknown(),
  actorder: z.union([z.string(), z.boolean()]).nullish(),
})
const group = z.object({ weights: weights.nullish(), input_activations: z.unknown(), format: z.string().nullish() })
const configShape = z.object({
  format: z.string().nullish(),
  config_groups: z.record(z.string(), group),
  version: z.string().nullish().catch(null),
})

/** Fields that have to be empty: with them, more than the weights is changed. */
const alone = ['kv_cache_scheme', 'sparsity_config', 'transform_config', 'moe_sparsity_config']

/** Before this version, codes whose width does not divide a word were not packed densely. */
const DENSE = [0, 18]

/** @throws WorkbenchError `config-unsupported` for what is not read, `config-invalid` for wrong fields and contradictions */
export function readCompressed(configs: readonly QuantizationConfig[]): Packing {
  const values = objects(configs)
  const file = configs.map((one) => one.file).join(' and ')
  // Two copies of such a config are equal, or one of them is of another model.
  const value = agreed(
    values.map(({ value, path, file }) => ({ where: path ? `${path.slice(0, -1)}` : file, says: value, shown: 'one thing' })),
    file,
  ) as JsonObject
  for (const field of alone) if (!isEmpty(value[field])) throw unreadable(file, `its ${field} is ${describe(value[field])}`)
  const parsed = configShape.safeParse(value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]
    throw new WorkbenchError('config-invalid', `${file}: ${path.join('.')}: ${message}.`, correct)
  }
  const { config_groups: groups, format, version } = parsed.data
  const schemes = Object.entries(groups).map(([name, group]) => schemeOf(group, format, `${file}: config_groups.${name}`))
  if (!schemes.length) throw unreadable(file, 'its config_groups are empty')
  const old = (version?.split('.').map(Number) ?? DENSE).slice(0, 2)
  if (schemes.some(({ bits }) => 32 % bits) && (old[0] < DENSE[0] || (old[0] === DENSE[0] && old[1] < DENSE[1])))
    throw unreadable(file, `it was packed by compressed-tensors ${describe(version)}, which leaves gaps between codes of 3 bits`)
  const integers = schemes.filter(({ float }) => !float)
  const moves = Object.values(groups).some(({ weights }) => weights?.actorder === 'group' || weights?.actorder === true)
  return {
    label: 'compressed-tensors',
    ...schemes[0],
    actOrder: moves,
    method: null,
    holds: (checkpoint, module) => checkpoint.tensors.has(`${module}.weight_packed`),
    tensors: (checkpoint, module, size) => {
      const float = floatOf(checkpoint, module, schemes)
      if (float) return expectFp4(checkpoint, module, size, float)
      return Object.values(tensorsOf(checkpoint, module, integers, size).tensors).map(({ name }) => name)
    },
    read: (checkpoint, module, size) => {
      const float = floatOf(checkpoint, module, schemes)
      return float ? readFp4(checkpoint, module, size, float) : readLinear(checkpoint, module, integers, size)
    },
  }
}

const isEmpty = (value: unknown) =>
  value == null || (typeof value === 'object' && !Object.keys(value).length) || (value as JsonObject).format === 'dense'

function schemeOf(
  { weights, input_activations: inputs, format }: z.infer<typeof group>,
  outer: string | null | undefined,
  where: string,
): Scheme {
  const form = format ?? outer
  const float = (Object.keys(fp4Types) as Fp4[]).find((type) => fp4Types[type].format === form) ?? null
  if (form !== 'pack-quantized' && !float)
    throw unreadable(where, `its format is ${describe(form ?? null)}, not pack-quantized, mxfp4-pack-quantized or nvfp4-pack-quantized`)
  if (inputs != null) throw unreadable(where, 'it quantizes activations, too')
  if (!weights) throw unreadable(where, 'it quantizes no weights')
  const { num_bits: bits, type, strategy, group_size: size, dynamic } = weights
  if (bits !== 2 && bits !== 3 && bits !== 4 && bits !== 8) throw unreadable(where, `it has ${bits} bits`)
  if (float) return floatScheme(float, weights, where)
  if (type != null && type !== 'int') throw unreadable(where, `its type is ${describe(type)}, not int`)
  if (dynamic === true) throw unreadable(where, 'it is dynamic')
  const grouped = size != null && size > 0
  // Where no strategy is named, the group size tells it, as in compressed-tensors itself.
  const named = strategy ?? (grouped ? 'group' : size === -1 ? 'channel' : 'tensor')
  if (named !== 'channel' && !(named === 'group' && grouped))
    throw unreadable(
      where,
      `its strategy is ${describe(named)}${named === 'group' ? ` with the group_size ${describe(size ?? null)}` : ''}`,
    )
  return { bits, groupSize: named === 'channel' ? -1 : size!, symmetric: weights.symmetric ?? true, float }
}

/** What its format says already; of what contradicts it the tensors would have other shapes or meanings. */
function floatScheme(
  float: Fp4,
  { num_bits: bits, type, group_size: size, symmetric, dynamic }: z.infer<typeof weights>,
  where: string,
): Scheme {
  const { block, label } = fp4Types[float]
  if (bits !== 4 || (type ?? 'float') !== 'float' || (size ?? block) !== block || symmetric === false || dynamic === true)
    throw unreadable(where, `it is ${label}, but not of symmetric numbers of 4 bits in blocks of ${block}`)
  return { bits: 4, groupSize: block, symmetric: true, float }
}

const groupsOf = ({ groupSize }: Scheme, p: number) => (groupSize === -1 ? 1 : p / groupSize)

/** The kind of FP4 that a linear is of, by the dtypes of its tensors; null for integers. */
function floatOf({ tensors }: Checkpoint, module: string, schemes: Scheme[]): Fp4 | null {
  const dtypeOf = (part: string) => tensors.get(`${module}.${part}`)?.dtype
  const type = dtypeOf('weight_packed') === 'I32' ? null : dtypeOf('weight_scale') === 'U8' ? 'mxfp4' : 'nvfp4'
  return schemes.some(({ float }) => float === type) ? type : schemes[0].float
}

/** The tensors of a linear and the scheme that they are of. */
function tensorsOf(checkpoint: Checkpoint, module: string, schemes: Scheme[], { q, p }: Size) {
  const shapeOf = (part: string) => checkpoint.tensors.get(`${module}.${part}`)?.shape.join()
  const fits = (scheme: Scheme) =>
    shapeOf('weight_packed') === `${q},${words(p, scheme.bits)}` &&
    shapeOf('weight_scale') === `${q},${groupsOf(scheme, p)}` &&
    (shapeOf('weight_zero_point') === undefined) === scheme.symmetric
  // Of schemes that fit alike, each reads the same: a group as wide as the row is the row.
  const scheme = schemes.find(fits) ?? schemes[0]
  const groups = groupsOf(scheme, p)
  const expect = (part: string, dtypes: Parameters<typeof expectTensor>[2], shape: number[]) =>
    expectTensor(checkpoint, `${module}.${part}`, dtypes, shape)
  const tensors = {
    packed: expect('weight_packed', ['I32'], [q, words(p, scheme.bits)]),
    scale: expect('weight_scale', ['F16', 'BF16', 'F32'], [q, Math.ceil(groups)]),
    shape: expect('weight_shape', ['I64', 'I32'], [2]),
    ...(!scheme.symmetric && { zero: expect('weight_zero_point', ['I32'], [words(q, scheme.bits), Math.ceil(groups)]) }),
    ...(checkpoint.tensors.has(`${module}.weight_g_idx`) && { index: expect('weight_g_idx', ['I32'], [p]) }),
  }
  if (!Number.isInteger(groups))
    throw new WorkbenchError(
      'tensor-mismatch',
      `${module} has ${p} inputs, which groups of ${scheme.groupSize} do not divide.`,
      'compressed-tensors supports whole groups only: check group_size in the quantization config.',
    )
  return { scheme, groups, tensors }
}

async function readLinear(checkpoint: Checkpoint, module: string, schemes: Scheme[], { q, p }: Size): Promise<SolvedLinear> {
  const { scheme, groups, tensors } = tensorsOf(checkpoint, module, schemes, { q, p })
  const { bits } = scheme
  const load = async ({ name }: { name: string }) => (await checkpoint.read(name)).buffer
  const stored = await load(tensors.shape)
  const shape = tensors.shape.dtype === 'I64' ? Array.from(new BigInt64Array(stored), Number) : Array.from(new Int32Array(stored))
  if (shape.join() !== `${q},${p}`)
    throw new WorkbenchError(
      'tensor-mismatch',
      `${tensors.shape.name} is [${shape.join(', ')}], but by config.json it should be [${q}, ${p}].`,
      'config.json and the weights belong to different models; take both from the same source.',
    )
  const codes = transposed(new Uint32Array(await load(tensors.packed)), q)
  const used = (p * bits) % 32
  if (used) for (let i = codes.length - q; i < codes.length; i++) codes[i] &= 2 ** used - 1 // others leave anything there
  const scales = await readScales(checkpoint, tensors.scale)
  const zeros = tensors.zero && transposed(new Uint32Array(await load(tensors.zero)), words(q, bits))
  const grid = new Float32Array(2 * groups * q)
  for (let g = 0; g < groups; g++) {
    const row = zeros?.subarray(g * words(q, bits))
    for (let n = 0; n < q; n++) {
      grid[2 * (g * q + n)] = scales[n * groups + g]
      grid[2 * (g * q + n) + 1] = row ? getBits(row, n * bits, bits) : 2 ** (bits - 1)
    }
  }
  const groupIndex = indexOf(tensors.index && new Int32Array(await load(tensors.index)), { p, groups }, `${module}.weight_g_idx`)
  return { bits, q, p, groupSize: p / groups, groups, codes, grid, groupIndex, outliers: null }
}

/** The group of each input; writers that know no order fill an index with −1, or leave it out. */
function indexOf(given: Int32Array | undefined, { p, groups }: { p: number; groups: number }, name: string): Int32Array {
  if (!given || given.includes(-1)) return Int32Array.from({ length: p }, (_, k) => Math.floor((k * groups) / p))
  const wrong = given.findIndex((group) => group < 0 || group >= groups)
  if (wrong < 0) return given
  throw new WorkbenchError(
    'tensor-mismatch',
    `${name} puts input ${wrong} in group ${given[wrong]}, but there are ${groups} groups.`,
    'Check group_size in the quantization config.',
  )
}
