/**
 * Quantized weights written out: `<name>.weight` F16 `[q, p]` = Ŵ + H, as in any model that was never quantized. For
 * results that no packed format can hold; it saves no space.
 */
import { WorkbenchError } from '../../errors.ts'
import { f32ToF16 } from '../half.ts'
import type { Checkpoint } from '../safetensors.ts'
import { type DenseFormat, halfConfig } from './format.ts'

export const dense: DenseFormat = {
  id: 'dense',
  label: 'Plain float16',
  summary:
    'safetensors with the quantized weights written out in float16, for results with outliers: loads anywhere, but is no smaller than the model in float16.',
  stores: 'dense',

  tensorsFor: ({ name, q, p }) => [{ name: `${name}.weight`, dtype: 'F16', shape: [q, p] }],

  encode(name, { weights }) {
    const beyond = weights.find((value) => !(Math.abs(value) < 65520))
    if (beyond !== undefined) {
      throw new WorkbenchError(
        'weights-not-finite',
        `${name} holds ${beyond}, which float16 cannot.`,
        'Run it without outliers: a packed checkpoint keeps its range in the scales.',
      )
    }
    const halves = f32ToF16(weights)
    return new Map([[`${name}.weight`, new Uint8Array(halves.buffer)]])
  },

  // To a loader it is an unquantized model.
  configFor: () => ({}),
  configFiles: (originalText) => [{ path: 'config.json', text: halfConfig(originalText) }],

  compatibility: (_settings, _shapes, notLoaded = {}) => [
    { runtime: 'QuantEase Workbench', loads: true, note: 'Opens it like any model, for evaluation or to quantize it again.' },
    ...(['vLLM', 'transformers', 'llama.cpp (convert_hf_to_gguf)'] as const).map((runtime) => ({
      runtime,
      loads: !notLoaded[runtime],
      note: notLoaded[runtime] ?? 'Yes, as a float16 model: with its size and speed.',
    })),
  ],
}

/** The stored float16 words of a linear, or null when they are not there as they should be. */
export async function readDenseLinear(checkpoint: Checkpoint, name: string, { q, p }: { q: number; p: number }) {
  const entry = checkpoint.tensors.get(`${name}.weight`)
  if (entry?.dtype !== 'F16' || entry.shape.join() !== `${q},${p}`) return null
  return checkpoint.read(entry.name)
}
