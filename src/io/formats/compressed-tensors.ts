/**
 * Checkpoints of compressed-tensors, format pack-quantized. Per linear of `[q, p]` = `[out, in]`, b bits and G groups:
 *   `.weight_packed`      I32 `[q, ceil(p·b/32)]`   codes, a little-endian bit stream along the inputs, one per output
 *   `.weight_scale`       F16 `[q, G]`
 *   `.weight_zero_point`  I32 `[ceil(q·b/32), G]`   zero points, a bit stream down the outputs, one per group; asymmetric only
 *   `.weight_shape`       I64 `[2]`                 q, p
 * W[n,k] = weight_scale[n,g] · (code[n,k] − zero[n,g]), g = k / group size; symmetric: zero = 2^(b−1). compressed-tensors itself
 * speaks of numbers from −2^(b−1) on and adds 2^(b−1) as it packs, to codes and zeros alike, which leaves the same words.
 * Codes of 3 bits lie across words from its version 0.18 on; 0.17 put ten of them into a word.
 *
 * MXFP4 and NVFP4 are formats of it, too: fp4.ts.
 */
import type { SolvedLinear } from '../../quant/linear.ts'
import { putBits, transposed, words, bytesOf } from '../bits.ts'
import {
  byGrid,
  type Compatibility,
  eachGrid,
  type ExportFormat,
  type ExportPlan,
  configWith,
  declaresSixteen,
  type NotLoaded,
  type Refusal,
  type Runtime,
  wholeEnds,
  gridName,
} from './format.ts'
import { encodeFp4, type Fp4, fp4Tensors, fp4Types, isFp4 } from './fp4.ts'
import { fusedRemarks, type Reason, sized, verdicts, verdictsOfGrids } from './runtimes.ts'
import {
  halfScales,
  heldGroups,
  openPacked,
  packedContent,
  type SafetensorsLayout,
  safetensorsFolder,
  wholeLinears,
} from './safetensors-folder.ts'

export const compressedLayout: SafetensorsLayout = {
  tensorsFor({ name, q, p, bits, groups, levels }, { symmetric }) {
    if (isFp4(levels)) return fp4Tensors(name, { q, p }, levels)
    return [
      { name: `${name}.weight_packed`, dtype: 'I32', shape: [q, words(p, bits)] },
      { name: `${name}.weight_scale`, dtype: 'F16', shape: [q, groups] },
      ...(symmetric ? [] : [{ name: `${name}.weight_zero_point`, dtype: 'I32', shape: [words(q, bits), groups] }]),
      { name: `${name}.weight_shape`, dtype: 'I64', shape: [2] },
    ]
  },

  async encode({ name, solved }, { symmetric }) {
    const { q, p, groups, codes, levels } = solved
    if (isFp4(levels)) return { tensors: encodeFp4(name, solved, levels), content: packedContent(solved) }
    const tensors = new Map([
      [`${name}.weight_packed`, bytesOf(transposed(codes, codes.length / q))],
      [`${name}.weight_scale`, bytesOf(transposed(halfScales(name, solved), groups))],
      [`${name}.weight_shape`, bytesOf(BigInt64Array.of(BigInt(q), BigInt(p)))],
    ])
    if (!symmetric) tensors.set(`${name}.weight_zero_point`, bytesOf(zeroPoints(solved)))
    return { tensors, content: packedContent(solved) }
  },

  open: openPacked,

  // As for GPTQ: scales keep their 16 bits, and loaders compute in what is declared.
  declares: declaresSixteen,

  // compressed-tensors makes bfloat16 of FP4, which has its numbers exactly.
  configFiles: (originalText, plan, declared) => [
    {
      path: 'config.json',
      text: configWith(originalText, isFp4(plan.levels) ? 'bfloat16' : declared, { quantization_config: compressedConfig(plan) }),
    },
  ],
}

export const compressedTensors: ExportFormat = {
  id: 'compressed-tensors',
  label: 'compressed-tensors',
  summary:
    'safetensors with codes in llm-compressor’s packing (pack-quantized): loads in vLLM at every width, and in transformers and SGLang.',
  stores: 'codes',
  accepts: wholeEnds('compressed-tensors files have', (plan) => eachGrid(accepts)(plan) ?? oneKind(plan)),
  rounds: () => null,
  remarks: (plan) => fusedRemarks(plan),
  ...safetensorsFolder(compressedLayout),
  compatibility: verdictsOfGrids(compatibility, mixed),
}

/** Zero points as they are stored, `[ceil(q·b/32), G]`. */
function zeroPoints({ q, bits, groups, grid }: SolvedLinear): Uint32Array {
  const per = words(q, bits)
  const rows = new Uint32Array(groups * per)
  for (let g = 0; g < groups; g++) {
    const row = rows.subarray(g * per, (g + 1) * per)
    for (let n = 0; n < q; n++) putBits(row, n * bits, bits, grid[2 * (g * q + n) + 1])
  }
  return transposed(rows, groups)
}

/** What config.json says of the quantization: nothing beside the fields of compressed-tensors, which forbids others in a scheme. */
export function compressedConfig(plan: ExportPlan): Record<string, unknown> {
  const { otherModules } = plan.settings
  const parts = byGrid(plan)
  return {
    quant_method: 'compressed-tensors',
    format: formatOf(plan),
    quantization_status: 'compressed',
    global_compression_ratio: null,
    kv_cache_scheme: null,
    // Of several groups each names its linears: loaders look for names first, but for those of fused linears after the class.
    config_groups: Object.fromEntries(
      parts.map((part, i) => [`group_${i}`, configGroup(part, parts.length > 1 ? part.linears.map(({ name }) => name) : ['Linear'])]),
    ),
    ignore: ['lm_head', ...wholeLinears(plan), ...(otherModules ?? []).map((name) => `re:.*\\b${name}\\..*`)],
    version: '0.18.0',
    // Zero points that are packed only fit what transformers 5.24 makes room for if it unpacks while it loads, not at the first pass.
    ...(parts.some(({ settings }) => !settings.symmetric) && { dequantize: true }),
  }
}

const formatOf = ({ levels }: ExportPlan) => (isFp4(levels) ? fp4Types[levels].format : 'pack-quantized')

function configGroup(plan: ExportPlan, targets: string[]) {
  const { bits, groupSize, symmetric } = plan.settings
  const float = isFp4(plan.levels) ? fp4Types[plan.levels] : null
  return {
    targets,
    weights: {
      num_bits: bits,
      type: float ? 'float' : 'int',
      symmetric,
      strategy: float?.strategy ?? (groupSize === -1 ? 'channel' : 'group'),
      group_size: groupSize === -1 ? null : groupSize,
      dynamic: false,
      actorder: null,
      ...(float && { scale_dtype: float.scaleDtype, zp_dtype: float.scaleDtype }),
    },
    input_activations: null,
    output_activations: null,
    format: formatOf(plan),
  }
}

function accepts(plan: ExportPlan): Refusal | null {
  const { levels, outliers } = plan
  if (levels !== 'uniform' && !isFp4(levels))
    return {
      why: `compressed-tensors files can store uniform integer grids, MXFP4 and NVFP4 only, not ${gridName(plan)}.`,
      instead: 'Choose a uniform grid, or the format “Plain weights” (dense).',
    }
  if (outliers)
    return {
      why: 'compressed-tensors files cannot store outliers beside the codes.',
      instead: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
    }
  return isFp4(levels) ? heldBlocks(plan, levels) : heldGroups(plan, 'compressed-tensors')
}

/** Why blocks of FP4 do not fit the rows of a plan. */
function heldBlocks({ linears }: ExportPlan, type: Fp4): Refusal | null {
  const uneven = linears.find(({ p }) => p % fp4Types[type].block)
  if (!uneven) return null
  const fits = type === 'mxfp4' && linears.every(({ p }) => p % fp4Types.nvfp4.block === 0)
  return {
    why: `${uneven.name} has ${uneven.p} inputs, which the blocks of ${fp4Types[type].block} of ${fp4Types[type].label} do not divide.`,
    instead: `Choose ${fits ? 'NVFP4, whose blocks have 16' : 'uniform integers of 4 bits with the full row'}, or leave such linears in full precision by overrides.`,
  }
}

/** Integers, MXFP4 and NVFP4 beside each other are another format of it. */
function oneKind(plan: ExportPlan): Refusal | null {
  if (new Set(byGrid(plan).map(formatOf)).size === 1) return null
  return {
    why: 'compressed-tensors files of this program hold either integers, MXFP4 or NVFP4, but overrides give linears of several of them.',
    instead: 'Choose one type for all linears, or the format “Plain weights” (dense).',
  }
}

/** Of FP4, likewise. */
function floatCompatibility(type: Fp4, notLoaded: NotLoaded): Compatibility[] {
  return verdicts(notLoaded, [
    ['vLLM', [], type === 'mxfp4' ? 'Yes.' : 'Yes, on NVIDIA GPUs from Turing on.'],
    ['SGLang', [], 'Yes.'],
    ['transformers', [], 'Yes, with compressed-tensors, in bfloat16 as config.json declares: it unpacks the weights to that.'],
    ['llama.cpp (convert_hf_to_gguf)', [], 'Yes: the converter repacks the weights without loss.'],
  ])
}

/** Who does not read different grids. */
function mixed(plan: ExportPlan): Partial<Record<Runtime, Reason>> {
  const zeros = byGrid(plan).some(({ settings }) => !settings.symmetric)
  return {
    transformers: zeros && 'No: as it unpacks zero points, transformers takes all linears to be of one config group.',
    'llama.cpp (convert_hf_to_gguf)': 'No: the converter reads one config group only.',
  }
}

/** As of November 2026: vLLM 0.33, SGLang 0.5.23, transformers 5.24, compressed-tensors 0.20. */
function compatibility({ settings, linears, levels }: ExportPlan, notLoaded: NotLoaded = {}): Compatibility[] {
  if (isFp4(levels)) return floatCompatibility(levels, notLoaded)
  const { bits, groupSize, symmetric } = settings
  const odd = linears.find(({ q, p }) => q % 32 || p % 32)
  const kernels = odd && `No: ${sized(odd)}, and its kernels need multiples of 32.`
  const marlin = (bits === 4 || (bits === 8 && symmetric)) && [-1, 32, 64, 128].includes(groupSize)
  return verdicts(notLoaded, [
    ['vLLM', [kernels], marlin ? 'Yes.' : 'Yes, on NVIDIA GPUs from Turing on, where its Humming kernels run.'],
    [
      'SGLang',
      [
        bits !== 4 && bits !== 8 && `No: SGLang loads compressed-tensors at 4 and 8 bits, not at ${bits}.`,
        bits === 8 && !symmetric && 'No: its kernels support zero points at 4 bits only.',
        ![-1, 32, 64, 128].includes(groupSize) && `No: its kernels support groups of 32, 64 or 128, or the full row, not ${groupSize}.`,
        kernels,
      ],
      'Yes.',
    ],
    ['transformers', [], `Yes, with compressed-tensors ${bits === 3 ? '0.18' : '0.15'} or newer; it unpacks the weights as it loads them.`],
    [
      'llama.cpp (convert_hf_to_gguf)',
      [
        bits === 3 && 'No: the converter reads codes of 3 bits as compressed-tensors packed them before 0.18.',
        groupSize === -1 && 'No: the converter reads groups only, no full rows.',
      ],
      'Yes: the converter dequantizes the weights, which are then quantized again to a GGUF type.',
    ],
  ])
}
