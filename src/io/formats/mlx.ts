/**
 * MLX's own layout, affine. Per linear of `[q, p]` = `[out, in]`, b bits and groups of m inputs (32, 64 or 128):
 *   `.weight` U32 `[q, p·b/32]`   codes, a little-endian bit stream along the inputs, one per output
 *   `.scales` F16 or F32 `[q, p/m]`
 *   `.biases` F16 or F32 `[q, p/m]`, minus scale · zero
 * W[n,k] = scales[n,k/m] · code[n,k] + biases[n,k/m]; a grid with real minima has them as biases as they are, and so have the types Q4_0 to
 * Q8_0 of GGUF. A group that is larger than MLX has them, or a full row, repeats its scale. Embedding and head are stored alike, as those
 * that mlx-lm itself quantizes.
 *
 * MLX multiplies in the wider of the dtypes of scales and inputs, so nothing is rounded once more where it loads.
 *
 * Typed arrays stand for little-endian files here: there is no WebGPU on a big-endian machine.
 */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import type { Files } from '../bytes.ts'
import { readConfig } from '../folder.ts'
import { f32ToF16 } from '../half.ts'
import { isObject, type JsonObject } from '../json.ts'
import { openCheckpoint } from '../safetensors.ts'
import { denseLayout } from './dense.ts'
import {
  type Compatibility,
  configWith,
  eachGrid,
  dtypeNames,
  type ExportFormat,
  type ExportPlan,
  type ExportSettings,
  type LinearPlan,
  type NotLoaded,
  type Remark,
  remarksOfGrids,
  settingsOf,
  gridName,
} from './format.ts'
import { type SafetensorsLayout, safetensorsFolder } from './safetensors-folder.ts'

/** Groups that MLX has kernels for, the cheapest first. */
const GROUPS = [128, 64, 32]

/**
 * What scales and biases are kept in. Scales are float16 numbers, and so is a symmetric grid's minimum, which is a scale times a
 * power of two. Another one is rounded in a float16 model of few bits, since MLX would compute everything in float32 otherwise; at
 * 8 bits that could move it by an eighth of a step. Picked rows are unpacked in the dtype of their scales, which all that follows has then.
 */
function scaleDtype({ dtype, symmetric, bits, picked }: Stored, levels = 'uniform') {
  if (picked && dtype !== 'F16') return 'F32'
  return symmetric || holdsMinima(levels) || (dtype === 'F16' && bits < 8) ? 'F16' : 'F32'
}

type Stored = Pick<ExportSettings, 'dtype' | 'symmetric' | 'bits' | 'picked'>

/** Kinds of grids, `Grid.levels`, whose cells are a scale and a minimum. */
const holdsMinima = (levels = 'uniform') => levels === 'affine' || levels === 'signed'

/** The largest of MLX's groups that no group of the result cuts; none where rows do not divide. */
function groupOf(p: number, groupSize: number): number | undefined {
  return GROUPS.find((size) => p % size === 0 && (groupSize === -1 || groupSize % size === 0))
}

const layout: SafetensorsLayout = {
  tensorsFor(linear, settings) {
    const { name, q, p, bits, levels } = linear
    const cells = { dtype: scaleDtype(settings, levels), shape: [q, p / groupOf(p, settings.groupSize)!] }
    return [
      { name: `${name}.weight`, dtype: 'U32', shape: [q, (p * bits) / 32] },
      { name: `${name}.scales`, ...cells },
      { name: `${name}.biases`, ...cells },
    ]
  },

  async encode({ name, solved }, settings) {
    const tensors = encodeMlx(name, solved, settings)
    return { tensors, content: [...tensors.values()] }
  },

  open: openMlx,
  declares: denseLayout.declares,
  configFiles(originalText, { settings, linears }, declared) {
    const quantization = quantizationOf(settings, linears)
    // Written twice, as mlx-lm does; the second is where the Hub looks.
    return [
      {
        path: 'config.json',
        text: configWith(originalText, declared, { ...spelledOut(originalText), quantization, quantization_config: quantization }),
      },
    ]
  },
}

export const mlx: ExportFormat = {
  id: 'mlx',
  label: 'MLX',
  summary: 'safetensors in the layout of Apple’s MLX: loads in mlx-lm and LM Studio on a Mac, at 2, 3, 4 and 8 bits.',
  library: 'mlx',
  stores: 'codes',
  accepts: eachGrid((plan) => {
    const { levels, outliers, settings, linears } = plan
    if (levels !== 'uniform' && !holdsMinima(levels))
      return {
        why: `MLX files can store uniform integer grids, grids with real minima and the types Q4_0 to Q8_0 only, not ${gridName(plan)}.`,
        instead: 'Choose one of these, or the format “Plain weights” (dense).',
      }
    if (outliers)
      return {
        why: 'MLX files cannot store outliers beside the codes.',
        instead: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
      }
    if (settings.actOrder)
      return {
        why: 'MLX files have no group index, but act-order moves columns between groups.',
        instead: 'Turn on static groups, or turn act-order off.',
      }
    const odd = linears.find(({ p }) => !groupOf(p, settings.groupSize))
    if (!odd) return null
    const { groupSize: size } = settings
    if (odd.p % 32 === 0)
      return { why: `MLX does not support groups of ${size}.`, instead: 'Choose groups of 32, 64 or 128, or the full row.' }
    return {
      why: `${odd.name} has ${odd.p} inputs, but MLX needs multiples of 32.`,
      instead: 'Choose the format “GPTQ” (gptq) or “Plain weights” (dense).',
    }
  }),
  rounds: () => null,
  remarks: remarksOfGrids(remarks),
  ...safetensorsFolder(layout),
  compatibility,
}

/**
 * The three tensors of a linear, by full name.
 * @throws {WorkbenchError} `weights-not-finite` for a minimum that float16 cannot hold
 */
export function encodeMlx(
  name: string,
  { q, p, bits, codes, grid, groupIndex, levels }: SolvedLinear,
  settings: Stored & Pick<ExportSettings, 'groupSize'>,
): Map<string, Uint8Array> {
  const words = (p * bits) / 32
  const weight = new Uint32Array(q * words)
  for (let word = 0; word < words; word++) for (let n = 0; n < q; n++) weight[n * words + word] = codes[word * q + n]
  const size = groupOf(p, settings.groupSize)!
  const groups = p / size
  const [scales, biases] = [new Float32Array(q * groups), new Float32Array(q * groups)]
  for (let group = 0; group < groups; group++) {
    const own = groupIndex[group * size] * q
    for (let n = 0; n < q; n++) {
      const [scale, zero] = [grid[2 * (own + n)], grid[2 * (own + n) + 1]]
      scales[n * groups + group] = scale
      biases[n * groups + group] = holdsMinima(levels) ? zero : -scale * zero
    }
  }
  const dtype = scaleDtype(settings, levels)
  const stored = (values: Float32Array<ArrayBuffer>) => {
    const array = dtype === 'F32' ? values : f32ToF16(values)
    return new Uint8Array(array.buffer)
  }
  const beyond = dtype === 'F16' ? biases.find((bias) => Math.abs(bias) >= 65520) : undefined
  if (beyond !== undefined) {
    throw new WorkbenchError(
      'weights-not-finite',
      `${name} has a group whose minimum is ${beyond}, outside the range of float16.`,
      'Choose GPTQ instead.',
    )
  }
  return new Map([
    [`${name}.weight`, new Uint8Array(weight.buffer)],
    [`${name}.scales`, stored(scales)],
    [`${name}.biases`, stored(biases)],
  ])
}

/** What config.json says: settings that most linears have, and a line for each with others. What has no scales stays whole. */
function quantizationOf(settings: ExportSettings, linears: readonly LinearPlan[]) {
  const own = linears.map((linear) => {
    const { bits, groupSize } = settingsOf(settings, linear)
    return { group_size: groupOf(linear.p, groupSize)!, bits, mode: 'affine' }
  })
  const keys = own.map((one) => JSON.stringify(one))
  const count = (key: string) => keys.filter((one) => one === key).length
  const counts = new Map([...new Set(keys)].map((key) => [key, count(key)]))
  const [common = '{}'] = [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)!)
  const others = linears.flatMap(({ name }, i) => (keys[i] === common ? [] : [[name, own[i]]]))
  return { ...(JSON.parse(common) as Partial<(typeof own)[number]>), ...Object.fromEntries(others) }
}

/**
 * Positions as mlx-lm looks for them: most of its classes do not read `rope_parameters`, where transformers 5 writes them, and would
 * compute with their defaults. Which blocks of Gemma 3 see everything is a pattern there and a list in transformers.
 */
function spelledOut(originalText: string): Record<string, unknown> {
  const config = JSON.parse(originalText) as JsonObject
  if (!isObject(config.text_config)) return positionsOf(config)
  // A text model inside a larger repository has its own configuration.
  const found = positionsOf(config.text_config)
  return Object.keys(found).length ? { text_config: { ...config.text_config, ...found } } : {}
}

function positionsOf({ rope_parameters: given, layer_types: types, ...config }: JsonObject): Record<string, unknown> {
  const found: Record<string, unknown> = {}
  const set = (key: string, value: unknown) => {
    if (value != null && config[key] == null) found[key] = value
  }
  if (!isObject(given)) return {}
  const { full_attention: full = given, sliding_attention: sliding } = given
  if (!isObject(full)) return {}
  set('rope_theta', full.rope_theta)
  if (full.rope_type !== 'default') set('rope_scaling', full)
  if (isObject(sliding)) {
    set('rope_local_base_freq', sliding.rope_theta)
    if (Array.isArray(types)) set('sliding_window_pattern', types.indexOf('full_attention') + 1 || types.length + 1)
  }
  return found
}

/** A folder in this layout, as its config describes it. Reading gives the bytes of the three tensors. */
async function openMlx(files: Files): Promise<(linear: LinearPlan) => Promise<ArrayBufferView[] | null>> {
  const { config } = await readConfig(files)
  const checkpoint = await openCheckpoint(files)
  return async ({ name, q, p }) => {
    const all = isObject(config.quantization) ? config.quantization : {}
    const { group_size: size, bits } = isObject(all[name]) ? all[name] : all
    const [weight, scales, biases] = ['weight', 'scales', 'biases'].map((part) => checkpoint.tensors.get(`${name}.${part}`))
    const cells = `${q},${p / Number(size)}`
    const fits = weight?.dtype === 'U32' && weight.shape.join() === `${q},${(p * Number(bits)) / 32}`
    if (!fits || scales?.shape.join() !== cells || biases?.shape.join() !== cells || scales.dtype !== biases.dtype) return null
    return await Promise.all([weight, scales, biases].map((entry) => checkpoint.read(entry.name)))
  }
}

/** Of a step, the most by which a minimum of `bits` moves when it is rounded to float16. */
const rounding = (bits: number) => (2 ** bits - 1) * 2 ** -11

function remarks({ settings, levels }: ExportPlan): Remark[] {
  const { bits, symmetric, dtype } = settings
  const found: Remark[] = []
  if (scaleDtype(settings, levels) === 'F16' && !symmetric && !holdsMinima(levels)) {
    found.push({
      field: 'symmetric',
      message: `MLX stores the minimum of a group, here rounded to float16: by at most ${(100 * rounding(bits)).toPrecision(2)} % of a step. Figures are measured without this rounding.`,
      hint: 'A symmetric grid, or one with real minima, is stored exactly.',
      severity: 'note',
    })
  }
  if (dtype === 'BF16' || (dtype === 'F16' && scaleDtype(settings, levels) === 'F32')) {
    found.push({
      field: 'formats',
      message: `MLX will compute in float32, because scales and minima are stored exactly, which ${dtypeNames[dtype]} cannot do.`,
      hint: `model.set_dtype(mlx.core.${dtypeNames[dtype]}) after loading makes it faster and rounds them.`,
      severity: 'note',
    })
  }
  return found
}

/** Embedding and head as mlx-lm names them. */
const ENDS = ['model.embed_tokens', 'lm_head']

/** As of November 2026. */
function compatibility({ linears, ends = [], model: { attention } }: ExportPlan, notLoaded: NotLoaded = {}): Compatibility[] {
  const usual = (name: string) => name.startsWith('model.layers.') || (ends.includes(name) && ENDS.includes(name))
  const foreign = linears.find(({ name }) => !usual(name))
  const unnamed = foreign && `No: mlx-lm expects names like model.layers.0, but here one is ${foreign.name}.`
  const reason = notLoaded['mlx-lm'] ?? unnamed
  const span = Math.min(...(attention?.spans ?? []))
  // Of two kinds of blocks with angles of their own, it knows both.
  const ignored = Number.isFinite(span) && new Set(attention!.ropes.map((rope) => JSON.stringify(rope))).size === 1
  const limit = ignored ? `; beyond ${span} tokens it ignores this model's sliding window` : ''
  const others = (['transformers', 'vLLM'] as const).map((runtime) => ({
    runtime,
    loads: false,
    note: notLoaded[runtime] ?? 'No: it does not read MLX files.',
  }))
  return [{ runtime: 'mlx-lm', loads: !reason, note: reason ?? `Yes, on Apple silicon, and on Linux by its CPU build${limit}.` }, ...others]
}
