/**
 * Export format of dequantized weights: `<name>.weight` `[q, p]` = Ŵ + H in the model's own dtype, laid out as in an unquantized model.
 * For results that no packed format can store; the files are no smaller than the model.
 */
import { WorkbenchError } from '../../errors.ts'
import { openFolder } from '../folder.ts'
import { f32ToBf16, f32ToF16 } from '../half.ts'
import { configWith, type ExportFormat, type FloatDtype, dtypeNames, MOST_HALF } from './format.ts'
import { type SafetensorsLayout, safetensorsFolder } from './safetensors-folder.ts'

export const denseLayout: SafetensorsLayout = {
  tensorsFor: ({ name, q, p, dtype }) => [{ name: `${name}.weight`, dtype, shape: [q, p] }],

  async encode({ name, weights }, { dtype }) {
    const bytes = rounded(name, await weights(), dtype)
    return { tensors: new Map([[`${name}.weight`, bytes]]), content: [bytes] }
  },

  async open(files) {
    const { packing, checkpoint } = await openFolder(files)
    return async ({ name, q, p, dtype }) => {
      const entry = checkpoint.tensors.get(`${name}.weight`)
      if (packing || entry?.dtype !== dtype || entry.shape.join() !== `${q},${p}`) return null
      return [await checkpoint.read(entry.name)]
    }
  },

  // To a loader it is an unquantized model.
  declares: (dtype, peak) => dtypeNames[dtype === 'F16' && peak > MOST_HALF ? 'BF16' : dtype],
  configFiles: (originalText, _plan, declared) => [{ path: 'config.json', text: configWith(originalText, declared) }],
}

export const dense: ExportFormat = {
  id: 'dense',
  label: 'Plain weights',
  summary:
    'safetensors with the quantized weights dequantized to the model’s own dtype, for results with outliers: loads anywhere, but is no smaller than the model.',
  stores: 'weights',
  accepts: () => null,
  rounds: ({ dtype }) => (dtype === 'F32' ? null : dtype),
  remarks: () => [],
  ...safetensorsFolder(denseLayout),

  compatibility: ({ settings: { dtype } }, notLoaded = {}) => [
    { runtime: 'QuantEase Workbench', loads: true, note: 'Opens it like any model, for evaluation or to quantize it again.' },
    ...(['vLLM', 'transformers', 'llama.cpp (convert_hf_to_gguf)'] as const).map((runtime) => ({
      runtime,
      loads: !notLoaded[runtime],
      note: notLoaded[runtime] ?? `Yes, as a ${dtypeNames[dtype]} model: with its size and speed.`,
    })),
  ],
}

/** The weights converted to a dtype. @throws WorkbenchError `weights-not-finite` for values outside its range */
function rounded(name: string, weights: Float32Array<ArrayBuffer>, dtype: FloatDtype): Uint8Array {
  const beyond = weights.find((value) => !(Math.abs(value) < (dtype === 'F16' ? 65520 : Number.POSITIVE_INFINITY)))
  if (beyond !== undefined) {
    throw new WorkbenchError(
      'weights-not-finite',
      `${name} contains ${beyond}, outside the range of ${dtypeNames[dtype]}.`,
      'Run it without outliers: a packed checkpoint keeps its range in the scales.',
    )
  }
  const words = dtype === 'F32' ? weights : dtype === 'F16' ? f32ToF16(weights) : f32ToBf16(weights)
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}
