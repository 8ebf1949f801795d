/** Layout of a GGUF checkpoint: names and types of its tensors, and its files; or why a result cannot be stored. */
import type { PartedFile } from '../../parts.ts'
import type { TensorSpec } from '../../safetensors.ts'
import { type ExportPlan, type LinearPlan, type Refusal, settingsOf } from '../format.ts'
import { architectureOf, type GgufArchitecture, type Target } from './architectures.ts'
import { BLOCK, blockType } from './blocks.ts'
import { type GgufTensor, type TensorType, defaultFileBytes, encodeMetadata, ggufTensor, planFiles } from './file.ts'
import { BLOCK_NVFP4 } from './nvfp4.ts'
import { SUPER, superTypeOf } from './super.ts'
import { type GgufVocabulary, vocabularyOf } from './vocabulary.ts'

export interface GgufLayout {
  architecture: GgufArchitecture
  vocabulary: GgufVocabulary | null
  /** By name in the model's checkpoint. */
  tensors: Map<string, { target: Target; tensor: GgufTensor }>
  /** Factors of the rotary angles, where there are any. */
  factors: { tensor: GgufTensor; values: Float32Array }[]
  /** Scales of linears of NVFP4, by name of the linear. */
  scales: Map<string, GgufTensor>
  files: PartedFile[]
}

/** `general.file_type` by the type of most weights; of K types the one in which all have it. */
const fileTypes: Record<TensorType, number> = {
  ...{ F32: 0, F16: 1, Q4_0: 2, Q4_1: 3, Q5_0: 8, Q5_1: 9, Q8_0: 7, BF16: 32 },
  ...{ Q2_K: 10, Q3_K: 11, Q4_K: 14, Q5_K: 16, Q6_K: 18, IQ4_NL: 25, MXFP4: 38, NVFP4: 39 },
}

/** The type that holds a linear as it is solved; null where there is none. */
export function typeOf(
  { settings, levels }: ExportPlan,
  linear: Pick<LinearPlan, 'bits' | 'levels' | 'groupSize' | 'symmetric'>,
): TensorType | null {
  const own = linear.levels ?? levels
  if (own === 'nvfp4') return 'NVFP4'
  const type = superTypeOf(own)
  return type?.type ?? blockType(linear.bits, settingsOf(settings, linear).symmetric, own)
}

/** The type of most weights of the blocks. */
function mostType(plan: ExportPlan): TensorType {
  const count = new Map<TensorType, number>()
  for (const linear of plan.linears) {
    if (plan.ends?.includes(linear.name)) continue
    const type = typeOf(plan, linear)!
    count.set(type, (count.get(type) ?? 0) + linear.q * linear.p)
  }
  return [...count].reduce((most, one) => (one[1] > most[1] ? one : most), [plan.settings.dtype as TensorType, 0] as const)[0]
}

const codesOnly = 'the format “Plain weights” (dense)'

/** Kinds of grids, `Grid.levels`, that blocks of 32 hold. */
const knownLevels = ['uniform', 'affine', 'signed', 'iq4_nl', 'mxfp4', 'nvfp4']

/** Why GGUF cannot store a result, and what to do instead. */
export function refusalOf(plan: ExportPlan): Refusal | null {
  const { settings, linears, levels, outliers, model } = plan
  const { groupSize, actOrder } = settings
  const other = [levels, ...linears.map((linear) => linear.levels ?? levels)].find((one) => !knownLevels.includes(one) && !superTypeOf(one))
  if (other) return { why: 'GGUF has no type for this kind of grid.', instead: `Choose a uniform grid, a type of GGUF, or ${codesOnly}.` }
  if (outliers)
    return {
      why: 'GGUF files cannot store outliers beside the codes.',
      instead: `Choose an algorithm without outliers, or ${codesOnly} or “Codes and outliers” (sidecar).`,
    }
  const architecture = architectureOf(model)
  if (typeof architecture === 'string') return { why: architecture, instead: 'Choose the format “GPTQ” (gptq) or “Plain weights” (dense).' }
  const typeless = linears.find((linear) => !typeOf(plan, linear))
  if (typeless)
    return {
      why: `GGUF has no type for asymmetric codes of ${typeless.bits} bits.`,
      instead: 'Choose 8 bits symmetric (Q8_0), or 4 bits asymmetric (Q4_1).',
    }
  const scaled = levels === 'nvfp4' ? refusalOfNvfp4(plan, architecture) : null
  if (scaled) return scaled
  if (groupSize > 0 && groupSize % BLOCK && levels !== 'nvfp4' && !superTypeOf(levels))
    return {
      why: `GGUF has one scale per ${BLOCK} weights, which groups of ${groupSize} do not fit.`,
      instead: 'Choose groups of 32, 64 or 128, or the full row.',
    }
  if (actOrder)
    return {
      why: 'GGUF stores groups in column order, but act-order moves columns between groups.',
      instead: 'Turn on static groups, choose the full row, or turn act-order off.',
    }
  const loose = linears.find(({ p }) => p % BLOCK)
  if (loose)
    return {
      why: `The rows of ${loose.name} have ${loose.p} weights, which is not a multiple of ${BLOCK}.`,
      instead: 'Choose the format “GPTQ” (gptq) or “Plain weights” (dense).',
    }
  const moved = linears.find((linear) => architecture.targets.get(`${linear.name}.weight`)?.columns && superTypeOf(linear.levels ?? levels))
  if (moved && moved.p % SUPER === 0)
    return {
      why: `llama.cpp has the inputs of ${moved.name} in another order, which super-blocks of ${SUPER} weights do not follow.`,
      instead: 'Choose a type with blocks of 32, such as Q4_0, Q5_1 or Q8_0, or override the type of this linear.',
    }
  const vocabulary = model.vocabulary && vocabularyOf(model.vocabulary, model.vocab)
  if (typeof vocabulary === 'string') return { why: vocabulary, instead: 'Choose the format “GPTQ” (gptq) or “Plain weights” (dense).' }
  return null
}

/** Why blocks of NVFP4, and the scales beside them, do not hold a plan. */
function refusalOfNvfp4({ linears, model }: ExportPlan, { scales }: GgufArchitecture): Refusal | null {
  if (!scales)
    return {
      why: `llama.cpp applies the scales of NVFP4 in LLaMA, Mistral, Ministral 3, Qwen3, Qwen3.5 and Gemma 4 models, not in ${model.label} ones.`,
      instead: 'Choose the type MXFP4 or Q4_K, or the format compressed-tensors.',
    }
  const loose = linears.find(({ p }) => p % BLOCK_NVFP4)
  if (!loose) return null
  return {
    why: `The rows of ${loose.name} have ${loose.p} weights, which GGUF’s blocks of ${BLOCK_NVFP4} of NVFP4 do not divide.`,
    instead: `Choose ${loose.p % BLOCK ? 'uniform integers' : 'the type MXFP4 or Q4_0, whose blocks have 32'}, or the format compressed-tensors.`,
  }
}

/** The layout in files of the usual size, made once for each plan. @throws {Error} for what `refusalOf` refuses */
export function usualLayout(plan: ExportPlan): GgufLayout {
  const layout = made.get(plan) ?? layoutOf(plan)
  made.set(plan, layout)
  return layout
}

const made = new WeakMap<ExportPlan, GgufLayout>()

/** @throws {Error} for what `refusalOf` refuses */
export function layoutOf(plan: ExportPlan, fileBytes = defaultFileBytes): GgufLayout {
  const { linears, copied, changed, model } = plan
  const architecture = architectureOf(model)
  const vocabulary = model.vocabulary && vocabularyOf(model.vocabulary, model.vocab)
  if (typeof architecture === 'string' || typeof vocabulary === 'string') throw new Error('GGUF cannot store this model')
  const tensors: GgufLayout['tensors'] = new Map()
  const add = (name: string, dtype: TensorType, shape: readonly number[]) => {
    const target = architecture.targets.get(name)
    // Tensors that the forward pass does not use stay behind.
    if (target) tensors.set(name, { target, tensor: ggufTensor(target.name, dtype, shape) })
  }
  const plain = ({ name, dtype, shape }: TensorSpec) => {
    const small = shape.length === 1 || architecture.targets.get(name)?.floats
    add(name, small ? 'F32' : (dtype as TensorType), small && shape.length > 1 ? shape.filter((extent) => extent > 1) : shape)
  }
  copied.forEach(plain)
  changed.forEach(plain)
  for (const linear of linears) add(`${linear.name}.weight`, typeOf(plan, linear)!, [linear.q, linear.p])
  const factors = Object.entries(architecture.factors).map(([name, values]) => ({
    tensor: ggufTensor(name, 'F32', [values.length]),
    values: Float32Array.from(values),
  }))
  const scales: GgufLayout['scales'] = new Map()
  for (const linear of linears) {
    if (typeOf(plan, linear) !== 'NVFP4') continue
    const { name } = tensors.get(`${linear.name}.weight`)!.target
    scales.set(linear.name, ggufTensor(name.replace(/weight$/, 'scale'), 'F32', [1]))
  }
  const most = mostType(plan)
  const metadata = encodeMetadata([
    ['general.architecture', { type: 'text', value: architecture.name }],
    ['general.type', { type: 'text', value: 'model' }],
    ['general.name', { type: 'text', value: model.name }],
    ...(model.license ? [['general.license', { type: 'text', value: model.license }] as const] : []),
    ['general.quantization_version', { type: 'u32', value: 2 }],
    ['general.file_type', { type: 'u32', value: fileTypes[most] }],
    ...architecture.metadata,
  ])
  const stem = `${model.name.replace(/[^\w.-]+/g, '-')}-${most}`
  const all = [...factors.map(({ tensor }) => tensor), ...[...tensors.values()].map(({ tensor }) => tensor), ...scales.values()]
  return {
    architecture,
    vocabulary,
    tensors,
    factors,
    scales,
    files: planFiles(stem, [metadata, ...(vocabulary ? [vocabulary.metadata] : [])], all, fileBytes),
  }
}
