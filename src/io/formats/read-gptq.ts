/**
 * Reads GPTQ checkpoints written by any program: their quantization config, the tensors of a linear, and its codes. The layout is
 * described in gptq.ts, which writes it.
 */
import { z } from '../zod.ts'
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { getBits, words } from '../bits.ts'
import { agreed } from '../facts.ts'
import { isObject } from '../json.ts'
import type { Checkpoint, TensorEntry } from '../safetensors.ts'
import {
  correct,
  describe,
  expectSymmetric,
  expectTensor,
  firstMeta,
  metaShape,
  objects,
  type Packing,
  type QuantizationConfig,
  readScales,
  type Size,
  unreadable,
} from './packing.ts'

/** How linears are quantized. */
interface Scheme {
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  symmetric: boolean
  /** Act-order: whether columns were quantized in another order; null when the config does not say. */
  actOrder: boolean | null
}

/** What a GPTQ checkpoint says about itself. */
export interface GptqConfig extends Scheme {
  /** What rules say of some linears; which ones is told by the shapes of their tensors, not by patterns of strangers. */
  others?: Scheme[]
  version: 1 | 2
  /** The algorithm, if the checkpoint names one. */
  method: string | null
}

const configShape = z.object({
  bits: z.int(),
  group_size: z.int().refine((size) => size === -1 || size > 0, 'must be -1 or larger than 0'),
  desc_act: z.boolean().nullish(),
  // GPTQModel, too, treats a missing `sym` as true.
  sym: z.boolean().nullish(),
  checkpoint_format: z.string().nullish(),
  is_marlin_format: z.boolean().nullish(),
  pack_dtype: z.string().nullish(),
  dynamic: z.record(z.string(), z.unknown()).nullish(),
  meta: metaShape,
})

/** Settings that all quantization configs of a model have to agree on, with all names of each. */
const spellings: Record<string, string[]> = {
  bits: ['bits'],
  group_size: ['group_size'],
  desc_act: ['desc_act'],
  sym: ['sym'],
  checkpoint_format: ['checkpoint_format', 'format'],
  is_marlin_format: ['is_marlin_format'],
  pack_dtype: ['pack_dtype'],
  dynamic: ['dynamic'],
}

/** Settings of the whole file that a rule of `dynamic` may repeat, but not change. */
const ofTheFile = ['checkpoint_format', 'pack_dtype'] as const

/** What a config means that does not say otherwise. */
const unsaid = { sym: true, checkpoint_format: 'gptq', pack_dtype: 'int32' }

/**
 * The settings of a model's quantization configs, merged.
 * @throws WorkbenchError `config-unsupported` for another layout or width; `config-invalid` for wrong fields, and for fields that
 * contradict each other
 */
export function readGptqConfig(configs: readonly QuantizationConfig[]): GptqConfig {
  const file = configs.map((one) => one.file).join(' and ')
  const values = objects(configs)
  const homes = (name: string) =>
    values.map(({ path, value, file }) => ({ where: `${path}${name}${path ? '' : ` in ${file}`}`, says: value[name] }))
  const facts = Object.entries(spellings).map(([fact, names]) => [fact, agreed(names.flatMap(homes), file)])
  const parsed = configShape.safeParse({ ...Object.fromEntries(facts), meta: firstMeta(values) })
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]
    throw new WorkbenchError('config-invalid', `${file}: ${path.join('.')}: ${message}.`, correct)
  }
  const config = parsed.data
  const { bits, checkpoint_format: format } = config
  if (!isWidth(bits)) throw unreadable(file, `it is quantized to ${bits} bits`)
  if (config.is_marlin_format) throw unreadable(file, 'its weights are arranged for Marlin kernels (is_marlin_format is true)')
  if (format != null && format !== 'gptq' && format !== 'gptq_v2')
    throw unreadable(file, `its checkpoint_format is ${describe(format)}, not gptq or gptq_v2`)
  if (config.pack_dtype && config.pack_dtype !== 'int32')
    throw unreadable(file, `its pack_dtype is ${describe(config.pack_dtype)}, not int32`)
  const rest = { bits, groupSize: config.group_size, symmetric: config.sym ?? true, actOrder: config.desc_act ?? null }
  const others = othersOf(config, rest, file)
  return {
    ...rest,
    ...(others.length && { others }),
    version: format === 'gptq_v2' ? 2 : 1,
    method: config.meta?.algorithm ?? null,
  }
}

/** How writers name a head that is quantized, too. */
const headRule = /^(\+:)?(model\.)?lm_head$/

const isWidth = (bits: unknown): bits is SolvedLinear['bits'] => bits === 2 || bits === 3 || bits === 4 || bits === 8

const ruleShape = configShape.pick({ group_size: true, desc_act: true, sym: true }).partial()

/** What rules say of some linears. Rules that exclude modules and those for a head say nothing, since the tensors show it. */
function othersOf(config: z.infer<typeof configShape>, rest: Scheme, file: string): Scheme[] {
  const all = { ...unsaid, ...Object.fromEntries(Object.entries(config).filter(([, value]) => value != null)) } as Partial<typeof config>
  const schemes = Object.entries(config.dynamic ?? {}).flatMap(([rule, changes]) => {
    if (rule.startsWith('-:') || headRule.test(rule) || changes == null) return []
    const sets = (what: string) => unreadable(file, `its dynamic rule ${describe(rule)} ${what}`)
    if (!isObject(changes)) throw sets(`is ${describe(changes)}`)
    for (const field of ofTheFile) {
      const other = (spellings[field] ?? [field]).map((name) => changes[name]).find((value) => value != null && value !== all[field])
      if (other !== undefined)
        throw sets(`sets ${field} to ${describe(other)}, where the rest of the model has ${describe(all[field] ?? null)}`)
    }
    const bits = changes.bits ?? rest.bits
    if (!isWidth(bits)) throw sets(`sets bits to ${describe(bits)}`)
    const parsed = ruleShape.safeParse(changes)
    if (!parsed.success) throw sets(`sets ${parsed.error.issues[0].path.join('.')} to what it cannot be`)
    const { group_size: groupSize = rest.groupSize, sym, desc_act } = parsed.data
    return [{ bits, groupSize, symmetric: sym ?? rest.symmetric, actOrder: desc_act ?? rest.actOrder }]
  })
  const texts = [rest, ...schemes].map((scheme) => JSON.stringify(scheme))
  return schemes.filter((_, i) => texts.indexOf(texts[i + 1]) === i + 1)
}

/** The scheme that the tensors of a linear are of. Where several fit, they are read alike, but for what only one of them forbids. */
function schemeOf(checkpoint: Checkpoint, prefix: string, config: GptqConfig, { q, p }: Size): Scheme {
  const { others = [] } = config
  if (!others.length) return config
  const shapeOf = (part: string) => checkpoint.tensors.get(`${prefix}.${part}`)?.shape.join()
  const fitting = [config, ...others].filter(
    (scheme) => shapeOf('qweight') === `${words(p, scheme.bits)},${q}` && shapeOf('scales') === `${groupsOf(scheme, p)},${q}`,
  )
  if (!fitting.length) return config
  const [{ bits, groupSize, actOrder }] = fitting
  const orders = fitting.every((scheme) => scheme.actOrder === actOrder)
  return { bits, groupSize, symmetric: fitting.every(({ symmetric }) => symmetric), actOrder: orders ? actOrder : null }
}

const groupsOf = ({ groupSize }: Scheme, p: number) => (groupSize === -1 ? 1 : Math.ceil(p / Math.min(groupSize, p)))

/** Reading by such a config. */
export function gptqPacking(config: GptqConfig): Packing {
  const { version, others: _, ...settings } = config
  return {
    ...settings,
    label: `GPTQ v${version}`,
    holds: isPacked,
    tensors(checkpoint, module, size) {
      packedTensors(checkpoint, module, config, size)
      return packedParts.map((part) => `${module}.${part}`).filter((name) => checkpoint.tensors.has(name))
    },
    read: (checkpoint, module, size) => readPackedLinear(checkpoint, module, config, size),
  }
}

/** Names of the tensors of a packed linear, below its module path. */
export const packedParts = ['qweight', 'qzeros', 'scales', 'g_idx'] as const

/** Whether the linear at this module path has any packed tensor. */
export function isPacked(checkpoint: Checkpoint, prefix: string): boolean {
  return packedParts.some((part) => part !== 'scales' && checkpoint.tensors.has(`${prefix}.${part}`))
}

/**
 * The tensors of a packed linear `[q, p]` = `[out, in]`, their dtypes and shapes checked by the headers.
 * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `config-unsupported` for the layout of AWQ
 */
export function packedTensors(checkpoint: Checkpoint, prefix: string, config: GptqConfig, { q, p }: Size) {
  const scheme = schemeOf(checkpoint, prefix, config, { q, p })
  const { bits } = scheme
  const groups = groupsOf(scheme, p)
  const packed = checkpoint.tensors.get(`${prefix}.qweight`)
  if (packed && packed.shape.join() !== [words(p, bits), q].join() && packed.shape.join() === [p, words(q, bits)].join())
    throw unreadable(packed.file, `${packed.name} has the shape [${packed.shape.join(', ')}], which is the layout of AWQ, not of GPTQ`)
  const index = checkpoint.tensors.has(`${prefix}.g_idx`)
  return {
    scheme,
    groups,
    qweight: expectTensor(checkpoint, `${prefix}.qweight`, ['I32'], [words(p, bits), q]),
    qzeros: expectTensor(checkpoint, `${prefix}.qzeros`, ['I32'], [groups, words(q, bits)]),
    scales: expectTensor(checkpoint, `${prefix}.scales`, ['F16', 'BF16', 'F32'], [groups, q]),
    index: index ? expectTensor(checkpoint, `${prefix}.g_idx`, ['I32'], [p]) : null,
  }
}

/**
 * Reads a packed linear and checks it against the shape that the model expects, `[q, p]` = `[out, in]`. Scales of other programs'
 * checkpoints in BF16 or F32 are not rounded, so they may not fit float16.
 * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `weights-not-finite`
 */
export async function readPackedLinear(checkpoint: Checkpoint, prefix: string, config: GptqConfig, expected: Size): Promise<SolvedLinear> {
  const { q, p } = expected
  const { groups, scheme, ...tensors } = packedTensors(checkpoint, prefix, config, expected)
  const { bits, symmetric, actOrder } = scheme
  const groupSize = scheme.groupSize === -1 ? p : Math.min(scheme.groupSize, p)
  const load = async ({ name }: TensorEntry) => (await checkpoint.read(name)).buffer

  const codes = new Uint32Array(await load(tensors.qweight))
  const used = (p * bits) % 32
  if (used) for (let i = codes.length - q; i < codes.length; i++) codes[i] &= 2 ** used - 1 // other versions leave arbitrary values there

  const qzeros = new Uint32Array(await load(tensors.qzeros))
  const grid = new Float32Array(groups * q * 2)
  const top = 2 ** bits - 1
  const offset = config.version === 1 ? 1 : 0
  for (let group = 0; group < groups; group++) {
    const row = qzeros.subarray(group * words(q, bits))
    // Version 1 stores z − 1 in b bits, so z = 0 comes as 2^b − 1; the mask undoes that wrap, as AutoGPTQ's reader does.
    for (let n = 0; n < q; n++) grid[2 * (group * q + n) + 1] = (getBits(row, n * bits, bits) + offset) & top
  }
  if (symmetric) expectSymmetric(grid, bits, `${prefix}.qzeros`, 'sym and checkpoint_format')
  const scales = await readScales(checkpoint, tensors.scales)
  scales.forEach((scale, i) => {
    grid[2 * i] = scale
  })
  const given = tensors.index && new Int32Array(await load(tensors.index))
  const groupIndex = indexOf(given, actOrder, { p, groups, groupSize }, `${prefix}.g_idx`)
  return { bits, q, p, groupSize, groups, codes, grid, groupIndex, outliers: null }
}

/** The group of each input: g_idx as stored, or consecutive groups when there is none. `name`: of the tensor. */
function indexOf(
  given: Int32Array | null,
  actOrder: boolean | null,
  { p, groups, groupSize }: { p: number; groups: number; groupSize: number },
  name: string,
): Int32Array {
  const refuse = (code: 'tensor-missing' | 'tensor-mismatch', what: string, hint: string) =>
    new WorkbenchError(code, `${name} ${what}.`, hint)
  const runs = Int32Array.from({ length: p }, (_, k) => Math.floor(k / groupSize))
  if (!given) {
    if (!actOrder || groups === 1) return runs
    throw refuse('tensor-missing', 'is missing, and with desc_act it is needed', 'Take all files of the checkpoint from the same source.')
  }
  const wrong = given.findIndex((group) => group < 0 || group >= groups)
  if (wrong >= 0)
    throw refuse(
      'tensor-mismatch',
      `puts input ${wrong} in group ${given[wrong]}, but there are ${groups} groups`,
      'Check group_size in the quantization config.',
    )
  const unordered = given.findIndex((group, k) => group !== runs[k])
  if (unordered < 0) return given
  const contradicts = 'Programs disagree about such weights: check desc_act in the quantization config.'
  if (given.every((group) => group === 0)) {
    // Some writers store zeros for "not ordered", and kernels ignore such an index.
    if (!actOrder) return runs
    throw refuse('tensor-mismatch', `is all zeros, although there are ${groups} groups and desc_act is true`, contradicts)
  }
  if (actOrder === false)
    throw refuse('tensor-mismatch', `puts input ${unordered} in group ${given[unordered]}, although desc_act is false`, contradicts)
  return given
}
