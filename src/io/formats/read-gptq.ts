/**
 * Reading GPTQ checkpoints, of whoever wrote them: what their config says, which tensors a linear has, and its codes. The
 * layout is described where it is written, in gptq.ts.
 */
import { z } from '../zod.ts'
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { getBits, words } from '../bits.ts'
import { agreed } from '../facts.ts'
import { isObject, type JsonObject } from '../json.ts'
import type { Checkpoint, TensorEntry } from '../safetensors.ts'
import {
  correct,
  describe,
  expectSymmetric,
  expectTensor,
  objects,
  type Packing,
  type QuantizationConfig,
  readScales,
  type Size,
  unreadable,
} from './packing.ts'

/** What a GPTQ checkpoint says about itself. */
export interface GptqConfig {
  bits: SolvedLinear['bits']
  /** Columns per group; -1 for one group per row. */
  groupSize: number
  symmetric: boolean
  /** Whether columns were quantized in another order; null where the config does not say. */
  actOrder: boolean | null
  version: 1 | 2
  /** The algorithm, where the checkpoint names one. */
  method: string | null
}

const configShape = z.object({
  bits: z.int(),
  group_size: z.int().refine((size) => size === -1 || size > 0, 'is -1 or larger than 0'),
  desc_act: z.boolean().nullish(),
  // GPTQModel takes a missing `sym` for true as well.
  sym: z.boolean().nullish(),
  checkpoint_format: z.string().nullish(),
  is_marlin_format: z.boolean().nullish(),
  pack_dtype: z.string().nullish(),
  dynamic: z.record(z.string(), z.unknown()).nullish(),
  meta: z
    .object({ algorithm: z.string().nullish().catch(null) })
    .nullish()
    .catch(null),
})

/** Facts that every config of a model has to agree about, with all the names that a fact goes by. */
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

/** Settings of a module that a rule of `dynamic` may change. */
const perModule = ['bits', 'group_size', 'desc_act', 'sym', 'checkpoint_format', 'pack_dtype'] as const

/**
 * What all quantization configs of a model say together.
 * @throws WorkbenchError `config-unsupported` for another layout or width; `config-invalid` for wrong fields, and for
 *   two that contradict each other
 */
export function readGptqConfig(configs: readonly QuantizationConfig[]): GptqConfig {
  const file = configs.map((one) => one.file).join(' and ')
  const values = objects(configs)
  const homes = (name: string) =>
    values.map(({ path, value, file }) => ({ where: `${path}${name}${path ? '' : ` in ${file}`}`, says: value[name] }))
  const facts = Object.entries(spellings).map(([fact, names]) => [fact, agreed(names.flatMap(homes), file)])
  const parsed = configShape.safeParse({ ...Object.fromEntries(facts), meta: agreedMeta(values) })
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]
    throw new WorkbenchError('config-invalid', `${file}: ${path.join('.')}: ${message}.`, correct)
  }
  const config = parsed.data
  const { bits, checkpoint_format: format } = config
  if (bits !== 2 && bits !== 3 && bits !== 4 && bits !== 8) throw unreadable(file, `it is quantized to ${bits} bits`)
  if (config.is_marlin_format) throw unreadable(file, 'its weights are arranged for Marlin kernels (is_marlin_format is true)')
  if (format != null && format !== 'gptq' && format !== 'gptq_v2')
    throw unreadable(file, `its checkpoint_format is ${describe(format)}, another arrangement than gptq or gptq_v2`)
  if (config.pack_dtype && config.pack_dtype !== 'int32')
    throw unreadable(file, `its pack_dtype is ${describe(config.pack_dtype)}, not int32`)
  refuseMixed(config, file)
  return {
    bits,
    groupSize: config.group_size,
    symmetric: config.sym ?? true,
    actOrder: config.desc_act ?? null,
    version: format === 'gptq_v2' ? 2 : 1,
    method: config.meta?.algorithm ?? null,
  }
}

/** Names the algorithm, nothing else: the first that does counts. */
function agreedMeta(values: { value: JsonObject }[]): unknown {
  return values.find(({ value }) => value.meta != null)?.value.meta
}

/** Rules that leave modules whole need no word: the tensors show it. Those that repeat the settings of the rest change nothing. */
function refuseMixed(config: z.infer<typeof configShape>, file: string): void {
  for (const [rule, changes] of Object.entries(config.dynamic ?? {})) {
    if (rule.startsWith('-:') || changes == null) continue
    if (!isObject(changes)) throw unreadable(file, `its dynamic rule ${describe(rule)} is ${describe(changes)}`)
    for (const field of perModule) {
      const values = (spellings[field] ?? [field]).map((name) => changes[name])
      const other = values.find((value) => value != null && value !== config[field])
      if (other !== undefined)
        throw unreadable(
          file,
          `its dynamic rule ${describe(rule)} sets ${field} to ${describe(other)}, where the rest has ${describe(config[field] ?? null)}`,
        )
    }
  }
}

/** Reading by such a config. */
export function gptqPacking(config: GptqConfig): Packing {
  const { version, ...settings } = config
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

/** Tensors of a packed linear, below its module path. */
export const packedParts = ['qweight', 'qzeros', 'scales', 'g_idx'] as const

/** Whether the linear at this module path is stored packed, in whole or in part. */
export function isPacked(checkpoint: Checkpoint, prefix: string): boolean {
  return packedParts.some((part) => part !== 'scales' && checkpoint.tensors.has(`${prefix}.${part}`))
}

/**
 * The tensors of a packed linear `[q, p]` = `[out, in]`, checked by what the headers say.
 * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `config-unsupported` for the layout of AWQ
 */
export function packedTensors(checkpoint: Checkpoint, prefix: string, config: GptqConfig, { q, p }: Size) {
  const { bits } = config
  const groups = config.groupSize === -1 ? 1 : Math.ceil(p / Math.min(config.groupSize, p))
  const packed = checkpoint.tensors.get(`${prefix}.qweight`)
  if (packed && packed.shape.join() !== [words(p, bits), q].join() && packed.shape.join() === [p, words(q, bits)].join())
    throw unreadable(packed.file, `${packed.name} has the shape [${packed.shape.join(', ')}], in which AWQ packs, not GPTQ`)
  const index = checkpoint.tensors.has(`${prefix}.g_idx`)
  return {
    groups,
    qweight: expectTensor(checkpoint, `${prefix}.qweight`, ['I32'], [words(p, bits), q]),
    qzeros: expectTensor(checkpoint, `${prefix}.qzeros`, ['I32'], [groups, words(q, bits)]),
    scales: expectTensor(checkpoint, `${prefix}.scales`, ['F16', 'BF16', 'F32'], [groups, q]),
    index: index ? expectTensor(checkpoint, `${prefix}.g_idx`, ['I32'], [p]) : null,
  }
}

/**
 * Reads a packed linear and checks it against the shape that the model expects, `[q, p]` = `[out, in]`. Scales of
 * foreign checkpoints in BF16 or F32 are taken as they are, so they may not fit float16.
 * @throws WorkbenchError `tensor-missing`, `tensor-mismatch`, `weights-not-finite`
 */
export async function readPackedLinear(checkpoint: Checkpoint, prefix: string, config: GptqConfig, expected: Size): Promise<SolvedLinear> {
  const { q, p } = expected
  const { bits, symmetric } = config
  const groupSize = config.groupSize === -1 ? p : Math.min(config.groupSize, p)
  const { groups, ...tensors } = packedTensors(checkpoint, prefix, config, expected)
  const load = async ({ name }: TensorEntry) => (await checkpoint.read(name)).buffer

  const codes = new Uint32Array(await load(tensors.qweight))
  const used = (p * bits) % 32
  if (used) for (let i = codes.length - q; i < codes.length; i++) codes[i] &= 2 ** used - 1 // others leave anything there

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
  const groupIndex = indexOf(given, config.actOrder, { p, groups, groupSize }, `${prefix}.g_idx`)
  return { bits, q, p, groupSize, groups, codes, grid, groupIndex, outliers: null }
}

/** The group of each input: as stored, or in runs where nothing else is said. `name` is the tensor's. */
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
    throw refuse('tensor-missing', 'is missing, and with desc_act it cannot be guessed', 'Take all files of the checkpoint from one place.')
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
  const contradicts = 'Loaders would disagree about these weights: check desc_act in the quantization config.'
  if (given.every((group) => group === 0)) {
    // Some writers fill in zeros for "no order", and kernels leave such an index out.
    if (!actOrder) return runs
    throw refuse('tensor-mismatch', `is all zeros, although there are ${groups} groups and desc_act is true`, contradicts)
  }
  if (actOrder === false)
    throw refuse('tensor-mismatch', `puts input ${unordered} in group ${given[unordered]}, although desc_act is false`, contradicts)
  return given
}
