/**
 * The gemm layout of AWQ checkpoints, which can store the codes of any method; AWQ's own scaling is folded into the weights before. Per
 * linear of `[q, p]` = `[out, in]` and G groups, at 4 bits:
 *   `.qweight` I32 `[p, q/8]`   codes of eight outputs in a word
 *   `.qzeros`  I32 `[G, q/8]`   zero points likewise
 *   `.scales`  F16 `[G, q]`
 * W[n,k] = scales[g,n] · (code[k,n] − zero[g,n]), g = k / group size. The eight outputs of word c stand, from the lowest bits up, in the
 * order 8c + 0, 2, 4, 6, 1, 3, 5, 7.
 */
import {
  type Compatibility,
  type ExportFormat,
  type ExportPlan,
  configWith,
  declaresSixteen,
  type NotLoaded,
  oneGrid,
  type Refusal,
  wholeEnds,
  gridName,
} from './format.ts'
import { awqOrder } from './packing.ts'
import { needsTorchKernel, sized, verdicts } from './runtimes.ts'
import { bytesOf } from '../bits.ts'
import {
  halfScales,
  heldGroups,
  openPacked,
  packedContent,
  type SafetensorsLayout,
  safetensorsFolder,
  skipRules,
  wholeLinears,
} from './safetensors-folder.ts'

export const awqLayout: SafetensorsLayout = {
  tensorsFor: ({ name, q, p, groups }) => [
    { name: `${name}.qweight`, dtype: 'I32', shape: [p, Math.ceil(q / 8)] },
    { name: `${name}.qzeros`, dtype: 'I32', shape: [groups, Math.ceil(q / 8)] },
    { name: `${name}.scales`, dtype: 'F16', shape: [groups, q] },
  ],

  async encode({ name, solved }) {
    const { q, p, groups, codes, grid } = solved
    const qweight = interleavedCodes(codes, q, p)
    const qzeros = interleavedZeros(grid, q, groups)
    const tensors = new Map([
      [`${name}.qweight`, bytesOf(qweight)],
      [`${name}.qzeros`, bytesOf(qzeros)],
      [`${name}.scales`, bytesOf(halfScales(name, solved))],
    ])
    return { tensors, content: packedContent(solved) }
  },

  open: openPacked,

  declares: declaresSixteen,

  configFiles: (originalText, plan, declared) => [
    { path: 'config.json', text: configWith(originalText, declared, { quantization_config: awqConfig(plan) }) },
  ],
}

export const awqGemm: ExportFormat = {
  id: 'awq',
  label: 'AWQ layout',
  summary:
    'safetensors with 4-bit codes of any method in AutoAWQ’s packing (gemm): loads in vLLM, SGLang, transformers and GPTQModel, also asymmetric.',
  stores: 'codes',
  accepts: wholeEnds('AWQ checkpoints have', accepts),
  rounds: () => null,
  remarks: () => [],
  ...safetensorsFolder(awqLayout),
  compatibility,
}

/** Codes as words of eight outputs `[p, q/8]`: the solver's words hold eight inputs, so squares of 8 × 8 codes are transposed. */
function interleavedCodes(codes: Uint32Array, q: number, p: number): Uint32Array {
  const words = new Uint32Array((p * q) / 8)
  for (let first = 0; first < p; first += 8) {
    const inputs = Math.min(8, p - first)
    for (let n = 0; n < q; n += 8) {
      const at = (first >> 3) * q + n
      for (let k = 0; k < inputs; k++) {
        let word = 0
        for (let i = 0; i < 8; i++) word |= ((codes[at + awqOrder[i]] >>> (4 * k)) & 15) << (4 * i)
        words[((first + k) * q + n) >> 3] = word
      }
    }
  }
  return words
}

/** Zero points as words of eight outputs `[G, q/8]`. */
function interleavedZeros(grid: Float32Array, q: number, groups: number): Uint32Array {
  const words = new Uint32Array((groups * q) / 8)
  for (let word = 0; word < words.length; word++)
    for (let i = 0; i < 8; i++) words[word] |= grid[2 * (8 * word + awqOrder[i]) + 1] << (4 * i)
  return words
}

/** What config.json says of the quantization. */
export function awqConfig(plan: ExportPlan): Record<string, unknown> {
  const { bits, groupSize, otherModules = [] } = plan.settings
  // transformers compares from the start of a path, vLLM anywhere in it.
  const whole = [...wholeLinears(plan), ...otherModules.flatMap((name) => [name, `model.${name}`])]
  return {
    quant_method: 'awq',
    version: 'gemm',
    bits,
    group_size: groupSize,
    // Symmetric results have zero points as well, all in the middle.
    zero_point: true,
    modules_to_not_convert: whole.length ? whole : null,
    // GPTQModel reads only this, and without it computes with codes that are not there.
    dynamic: skipRules(plan.settings),
  }
}

function accepts(plan: ExportPlan): Refusal | null {
  const { settings, linears, levels, outliers } = plan
  if (levels !== 'uniform')
    return {
      why: `The AWQ layout can store uniform integer grids only, not ${gridName(plan)}.`,
      instead: 'Choose a uniform grid, or the format “Plain weights” (dense).',
    }
  if (outliers)
    return {
      why: 'The AWQ layout cannot store outliers beside the codes.',
      instead: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
    }
  if (linears.some(({ bits }) => bits !== 4) || settings.bits !== 4)
    return { why: 'The AWQ layout can store 4 bits only.', instead: 'Choose 4 bits, or the format compressed-tensors.' }
  const loose = linears.find(({ q }) => q % 8)
  if (loose)
    return {
      why: `${loose.name} has ${loose.q} outputs, but the AWQ layout needs multiples of 8.`,
      instead: 'Choose the format compressed-tensors.',
    }
  return oneGrid(plan, 'The AWQ layout') ?? heldGroups(plan, 'The AWQ layout')
}

/** As of November 2026: vLLM 0.33, SGLang 0.5.23, transformers 5.24, GPTQModel 7.7. */
function compatibility(plan: ExportPlan, notLoaded: NotLoaded = {}): Compatibility[] {
  const {
    settings: { groupSize },
    linears,
  } = plan
  const wide = needsTorchKernel(plan)
  const odd = linears.find(({ q, p }) => q % 32 || p % 32)
  const kernels = odd && `No: ${sized(odd)}, and its kernels need multiples of 32.`
  const only = (sizes: number[]) =>
    !sizes.includes(groupSize) && `No: it takes groups of ${sizes.slice(1).join(', ')}, or the full row, not ${groupSize}.`
  return verdicts(notLoaded, [
    ['vLLM', [only([-1, 32, 64, 128]), kernels], 'Yes.'],
    ['SGLang', [only([-1, 32, 64, 128]), kernels], 'Yes.'],
    [
      'transformers',
      [only([-1, 16, 32, 64, 128])],
      `Yes, with gptqmodel 5.0 or newer${wide ? "; on a CPU with AwqConfig(bits=4, group_size=-1, backend='torch_awq'), since its default kernel there takes no such rows" : ''}.`,
    ],
    [
      'GPTQModel',
      [only([-1, 16, 32, 64, 128])],
      wide ? 'Yes; on a CPU with backend=BACKEND.AWQ_TORCH, since its default kernel there takes no such rows.' : 'Yes.',
    ],
  ])
}
