/**
 * Quantized weights written out: `<name>.weight` `[q, p]` = Ŵ + H in the model's own dtype, as in any model that was never
 * quantized. For results that no packed format can hold; it saves no space.
 */
import { WorkbenchError } from '../../errors.ts'
import { f32ToBf16, f32ToF16 } from '../half.ts'
import type { Checkpoint } from '../safetensors.ts'
import { configWith, type DenseFormat, dtypeNames, MOST_HALF } from './format.ts'

export const dense: DenseFormat = {
  id: 'dense',
  label: 'Plain weights',
  summary:
    'safetensors with the quantized weights written out as the model has its own, for results with outliers: loads anywhere, but is no smaller than the model.',
  stores: 'dense',

  tensorsFor: ({ name, q, p, dtype }) => [{ name: `${name}.weight`, dtype, shape: [q, p] }],

  encode(name, weights, { dtype }) {
    const beyond = weights.find((value) => !(Math.abs(value) < (dtype === 'F16' ? 65520 : Number.POSITIVE_INFINITY)))
    if (beyond !== undefined) {
      throw new WorkbenchError(
        'weights-not-finite',
        `${name} holds ${beyond}, which ${dtypeNames[dtype]} cannot.`,
        'Run it without outliers: a packed checkpoint keeps its range in the scales.',
      )
    }
    const words = dtype === 'F32' ? weights : dtype === 'F16' ? f32ToF16(weights) : f32ToBf16(weights)
    return new Map([[`${name}.weight`, new Uint8Array(words.buffer, words.byteOffset, words.byteLength)]])
  },

  // To a loader it is an unquantized model.
  configFor: () => ({}),
  declares: (dtype, peak) => dtypeNames[dtype === 'F16' && peak > MOST_HALF ? 'BF16' : dtype],
  configFiles: (originalText, _config, declared) => [{ path: 'config.json', text: configWith(originalText, declared) }],

  compatibility: ({ dtype }, _shapes, notLoaded = {}) => [
    { runtime: 'QuantEase Workbench', loads: true, note: 'Opens it like any model, for evaluation or to quantize it again.' },
    ...(['vLLM', 'transformers', 'llama.cpp (convert_hf_to_gguf)'] as const).map((runtime) => ({
      runtime,
      loads: !notLoaded[runtime],
      note: notLoaded[runtime] ?? `Yes, as a ${dtypeNames[dtype]} model: with its size and speed.`,
    })),
  ],
}

/** The stored bytes of a linear, or null when they are not there as they should be. */
export async function readDenseLinear(checkpoint: Checkpoint, name: string, { q, p, dtype }: { q: number; p: number; dtype: string }) {
  const entry = checkpoint.tensors.get(`${name}.weight`)
  if (entry?.dtype !== dtype || entry.shape.join() !== `${q},${p}`) return null
  return checkpoint.read(entry.name)
}
