/**
 * The GPTQ checkpoint format. Per linear of `[q, p]` = `[out, in]`, b bits and G groups:
 *   `.qweight` I32 `[ceil(p·b/32), q]` codes, a little-endian bit stream along the inputs, one per output
 *   `.qzeros`  I32 `[G, ceil(q·b/32)]`   zero points, a bit stream along the outputs, one per group
 *   `.scales`  F16 `[G, q]`
 *   `.g_idx`   I32 `[p]`                 group of each input; on request left out where it is k / group size
 * W[n,k] = scales[g,n] · (code[k,n] − zero[g,n]) with g = g_idx[k]. Version 1 ("gptq") stores zero − 1, version 2 ("gptq_v2") stores
 * zero. Readers disagree about a zero point of 0 in version 1, so only symmetric results, whose zero is 2^(b−1), are written as version
 * 1, which more programs read.
 *
 * Typed arrays are written as they are, as little-endian: there is no WebGPU on a big-endian machine.
 */
import type { SolvedLinear } from '../../quant/linear.ts'
import { putBits, words, bytesOf } from '../bits.ts'
import { escaped } from '../../overrides.ts'
import {
  byGrid,
  type Compatibility,
  type ExportFormat,
  type ExportPlan,
  type ExportSettings,
  configWith,
  eachGrid,
  declaresSixteen,
  type LinearPlan,
  type NotLoaded,
  type Remark,
  remarksOfGrids,
  wholeEnds,
  gridName,
} from './format.ts'
import { fusedRemarks, fusedSets, needsTorchKernel, sized, verdicts, verdictsOfGrids } from './runtimes.ts'
import { halfScales, openPacked, packedContent, type SafetensorsLayout, safetensorsFolder, skipRules } from './safetensors-folder.ts'

const toolVersion = 'quantease-workbench:0.1.0'

export const gptqLayout: SafetensorsLayout = {
  tensorsFor: ({ name, q, p, bits, groups }, settings) => [
    { name: `${name}.qweight`, dtype: 'I32', shape: [words(p, bits), q] },
    { name: `${name}.qzeros`, dtype: 'I32', shape: [groups, words(q, bits)] },
    { name: `${name}.scales`, dtype: 'F16', shape: [groups, q] },
    ...(storesIndex(settings) ? [{ name: `${name}.g_idx`, dtype: 'I32' as const, shape: [p] }] : []),
  ],

  async encode({ name, solved }, settings) {
    return { tensors: encodeLinear(name, solved, settings), content: packedContent(solved) }
  },

  open: openPacked,

  // Scales are float16 in any case; this declares the dtype that loaders compute in, and most kernels take 16 bits only.
  declares: declaresSixteen,

  configFiles(originalText, plan, declared) {
    const config = quantizationConfig(plan)
    return [
      { path: 'config.json', text: configWith(originalText, declared, { quantization_config: config }) },
      // vLLM and GPTQModel read this file first.
      { path: 'quantize_config.json', text: `${JSON.stringify(config, null, 2)}\n` },
    ]
  },
}

export const gptq: ExportFormat = {
  id: 'gptq',
  label: 'GPTQ',
  summary: 'safetensors with packed codes, scales and zero points: loads in GPTQModel and transformers, and in vLLM at 4 and 8 bits.',
  stores: 'codes',
  accepts: wholeEnds(
    'GPTQ files have',
    eachGrid((plan) => {
      const { levels, outliers } = plan
      if (levels !== 'uniform')
        return {
          why: `GPTQ files can store uniform integer grids only, not ${gridName(plan)}.`,
          instead: 'Choose a uniform grid, or the format “Plain weights” (dense).',
        }
      if (!outliers) return null
      return {
        why: 'GPTQ files cannot store outliers beside the codes.',
        instead: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
      }
    }),
  ),
  rounds: () => null,
  remarks: (plan) => [...remarksOfGrids(remarks)(plan), ...fusedRemarks(plan)],
  ...safetensorsFolder(gptqLayout),
  compatibility: verdictsOfGrids(compatibility, mixed),
}

/** The tensors of a linear, by full name. */
export function encodeLinear(
  name: string,
  solved: SolvedLinear,
  settings: Pick<ExportSettings, 'symmetric' | 'allSymmetric'> & Partial<IndexSettings>,
): Map<string, Uint8Array> {
  const { q, bits, groups, codes, grid, groupIndex } = solved
  const offset = (settings.allSymmetric ?? settings.symmetric) ? 1 : 0
  const perGroup = words(q, bits)
  const qzeros = new Uint32Array(groups * perGroup)
  for (let group = 0; group < groups; group++) {
    const row = qzeros.subarray(group * perGroup, (group + 1) * perGroup)
    for (let n = 0; n < q; n++) putBits(row, n * bits, bits, grid[2 * (group * q + n) + 1] - offset)
  }
  return new Map([
    [`${name}.qweight`, bytesOf(codes)],
    [`${name}.qzeros`, bytesOf(qzeros)],
    [`${name}.scales`, bytesOf(halfScales(name, solved))],
    ...(storesIndex(settings) ? [[`${name}.g_idx`, bytesOf(groupIndex)] as const] : []),
  ])
}

/** What tensors of a text model begin with inside a larger repository. */
const textPrefix = /^(language_model\.model|model\.language_model|model\.text_model)\./

/** The quantization config. */
export function quantizationConfig(plan: ExportPlan): Record<string, unknown> {
  const { settings, linears } = plan
  const version = settings.symmetric ? 'gptq' : 'gptq_v2'
  const most = byGrid(plan)[0].settings
  return {
    quant_method: 'gptq',
    bits: most.bits,
    group_size: most.groupSize,
    desc_act: groupsFollowOrder(most),
    sym: most.symmetric,
    lm_head: false,
    checkpoint_format: version,
    format: version,
    pack_dtype: 'int32',
    true_sequential: settings.trueSequential,
    // Loaders reject values outside 0 to 1.
    ...(settings.damping && settings.damping < 1 && { damp_percent: settings.damping }),
    // Not every loader infers from the tensors which modules stayed in full precision.
    dynamic: rulesOf(plan),
    // transformers reads no `dynamic`: unless it is told by full paths, it makes room for codes in every block. Inside larger
    // repositories its paths begin otherwise than those of tensors, and it compares their ends.
    modules_in_block_to_quantize: settings.dynamicSkips.length ? [linears.map(({ name }) => name.replace(textPrefix, ''))] : null,
    // The only prefix of blocks that it does not look for by itself.
    ...(linears[0]?.name.startsWith('model.text_model.') && { block_name_to_quantize: 'model.text_model.layers' }),
    // The calibration text is not recorded: transformers accepts only three names for `dataset` and rejects all others.
    meta: {
      quantizer: [toolVersion],
      algorithm: settings.method,
      iterations: settings.iterations,
      mse: settings.mse,
      static_groups: settings.staticGroups,
    },
  }
}

/** What runtimes call linears that they compute as one, by the first of them. */
const fusedNames: Record<string, string> = { q_proj: 'qkv_proj', gate_proj: 'gate_up_proj' }

/**
 * GPTQModel's rules, "+:" and "-:" with a pattern from the start of a path, for linears with another grid than most, and for those that
 * stay whole. vLLM and SGLang look for the paths of linears as they compute them, some of them several as one.
 */
function rulesOf(plan: ExportPlan): Record<string, unknown> | null {
  const sets = fusedSets(plan)
  const fused = (path: string) => sets.find(({ parent, names, grid }) => grid !== 'apart' && parent + names[0] === path)
  const patternOf = (path: string) => {
    const set = fused(path)
    return set ? `(?:${escaped(path)}|${escaped(set.parent + fusedNames[set.names[0]])})` : escaped(path)
  }
  const rules = byGrid(plan)
    .slice(1)
    .flatMap(({ linears, settings: { bits, groupSize, symmetric } }) =>
      linears.map(({ name }) => [`+:${patternOf(name)}$`, { bits, group_size: groupSize, sym: symmetric }]),
    )
  const skips = skipRules({ ...plan.settings, dynamicSkips: [] })
  const whole = plan.settings.dynamicSkips.map((path) => [`-:${patternOf(path)}(\\.|$)`, {}])
  return rules.length + whole.length || skips ? { ...Object.fromEntries([...rules, ...whole]), ...skips } : null
}

const unread = (who: string) => `No: ${who} does not read the rules (dynamic) by which GPTQ files give linears different grids.`

/** Who does not read different grids. */
function mixed() {
  return { transformers: unread('transformers'), 'llama.cpp (convert_hf_to_gguf)': unread('the converter') }
}

type IndexSettings = Pick<ExportSettings, 'actOrder' | 'staticGroups' | 'groupSize' | 'groupIndex'>

/** Whether g_idx differs from k / group size. It does not with one group per row or with static groups. */
function groupsFollowOrder({ actOrder, staticGroups, groupSize }: Partial<IndexSettings>): boolean {
  return Boolean(actOrder) && !staticGroups && groupSize !== -1
}

/** Whether g_idx is stored. */
function storesIndex(settings: Partial<IndexSettings>): boolean {
  return settings.groupIndex !== false || groupsFollowOrder(settings)
}

/** Remarks on what other readers of these files need and a result does not have. */
function remarks({ settings, linears }: ExportPlan): Remark[] {
  const { groupSize: g, bits } = settings
  const found: Remark[] = []
  const names = (some: LinearPlan[]) => [...new Set(some.map(({ name }) => name.split('.').at(-1)))].join(', ')
  const ragged = g === -1 ? [] : linears.filter(({ p }) => p % g)
  if (ragged.length) {
    const divides = [32, 64, 128].filter((size) => linears.every(({ p }) => p % size === 0))
    found.push({
      field: 'groupSize',
      message: `Groups of ${g} do not divide the rows of ${names(ragged)} (${[...new Set(ragged.map(({ p }) => p))].join(', ')} columns): the last group of each is shorter, which vLLM does not load.`,
      hint: `Sizes that divide every row: ${['full row', ...divides].join(', ')}.`,
      severity: 'warning',
    })
  }
  const loose = bits === 3 ? linears.filter(({ q, p }) => p % 32 || q % 32) : []
  if (loose.length) {
    const all = new Set(loose.map(({ name }) => name.split('.').at(-1)))
    found.push({
      field: 'bits',
      message: `At 3 bits other readers of GPTQ files need layer sizes that are multiples of 32; ${names(loose)} ${all.size > 1 ? 'have' : 'has'} other sizes, so the checkpoint will load only in the workbench.`,
      hint: 'Write compressed-tensors, or choose other bits, to use the checkpoint elsewhere.',
      severity: 'warning',
    })
  }
  if (settings.groupIndex === false && groupsFollowOrder(settings))
    found.push({
      field: 'groupIndex',
      message: 'The group index is stored all the same: groups that follow act-order cannot be read without it.',
      hint: 'Turn on static groups to leave it out.',
      severity: 'note',
    })
  if (settings.actOrder) {
    found.push({
      field: 'actOrder',
      message: 'Act-order without static groups stores a group index per column, which vLLM refuses and which makes inference slower.',
      hint: 'Turn on static groups to avoid that.',
      severity: 'warning',
    })
  }
  return found
}

/** Why vLLM itself refuses these settings, whatever the shapes. */
function refusedByVllm(settings: ExportSettings) {
  const { bits, groupSize, symmetric } = settings
  return [
    bits !== 4 && bits !== 8 && `No: since June 2026 vLLM takes GPTQ at 4 and 8 bits only, not ${bits}; compressed-tensors takes it there.`,
    !symmetric && 'No: vLLM takes symmetric GPTQ only; compressed-tensors and the AWQ layout take zero points there.',
    ![-1, 32, 64, 128].includes(groupSize) && `No: vLLM takes groups of 32, 64 or 128, or the full row, not ${groupSize}.`,
    groupsFollowOrder(settings) && 'No: since version 0.30 vLLM refuses act-order with groups; static groups load.',
  ]
}

/** Why a linear's shape is refused: by whoever divides it into groups, by kernels, by those at 3 bits, and by whoever reads words. */
function refusedShapes({ settings: { bits, groupSize }, linears }: ExportPlan) {
  const uneven = groupSize > 0 && linears.find(({ p }) => p % groupSize)
  const odd = linears.find(({ q, p }) => q % 32 || p % 32)
  const loose = linears.find(({ q, p }) => (q * bits) % 32 || (p * bits) % 32)
  return {
    group: uneven && `No: ${uneven.name} has ${uneven.p} inputs, which groups of ${groupSize} do not divide.`,
    kernels: odd && `No: ${sized(odd)}, and its kernels need multiples of 32.`,
    threes: bits === 3 && loose && `No: ${sized(loose)}, and at 3 bits its kernels need multiples of 32.`,
    words: loose && `No: ${sized(loose)}, which does not fill whole 32-bit words.`,
  }
}

/**
 * As of November 2026: vLLM 0.32, SGLang 0.5.23, transformers 5.24, GPTQModel 7.7; `e2e/interop` loads what it can. The first
 * reason against a runtime is the one shown.
 */
function compatibility(plan: ExportPlan, notLoaded: NotLoaded = {}): Compatibility[] {
  const { settings, linears } = plan
  const { bits, groupSize, symmetric } = settings
  const reordered = groupsFollowOrder(settings)
  const untiled = linears.find(({ q, p }) => q % 64 || p % 128)
  const { group, kernels, threes, words } = refusedShapes(plan)
  const bare = !storesIndex(settings)
  const wide = needsTorchKernel(plan)
  const tiles = untiled ? `Yes, in versions that pad: ${sized(untiled)}, not a multiple of the kernel's 64 × 128 tile` : 'Yes'
  return verdicts(notLoaded, [
    [
      'vLLM',
      [...refusedByVllm(settings), group, kernels],
      bits === 8 ? `${tiles}, on GPUs: its kernels for CPUs take 4 bits only.` : `${tiles}.`,
    ],
    [
      'SGLang',
      [
        reordered && !(symmetric && (bits === 4 || bits === 8)) && 'No: SGLang takes act-order with groups at 4 and 8 bits symmetric only.',
        group,
        kernels,
      ],
      'Yes, on GPUs.',
    ],
    [
      'transformers',
      [group, threes, bare && 'No: without a group index (g_idx) transformers computes with whatever stands in memory.'],
      `Yes, with optimum 1.24 or newer and gptqmodel 1.4.3 or newer${wide ? "; on a CPU with GPTQConfig(bits=4, backend='gptq_torch'), since its default kernel there takes no such rows" : ''}.`,
    ],
    [
      'GPTQModel',
      [
        group,
        ![-1, 16, 32, 64, 128, 256, 512, 1024].includes(groupSize) &&
          `No: GPTQModel takes groups of 16 to 1024 in powers of two, or the full row, not ${groupSize}.`,
        threes,
      ],
      wide
        ? 'Yes; on a CPU with backend=BACKEND.GPTQ_TORCH, since its default kernel there takes no such rows.'
        : 'Yes, on GPU and on CPU.',
    ],
    [
      'llama.cpp (convert_hf_to_gguf)',
      [bits === 3 && 'No: the converter does not read 3-bit GPTQ.', words, bare && 'No: the converter needs a group index (g_idx).'],
      'Yes: the converter dequantizes the weights, which are then quantized again to a GGUF type.',
    ],
  ])
}
