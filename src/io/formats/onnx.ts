/**
 * ONNX checkpoints: the decoder as a graph (`onnx/model_q4.onnx`) with its weights beside it, each linear a MatMulNBits node of
 * onnxruntime; with config.json and tokenizer the folder that transformers.js reads. Graph and protobuf are loaded when one is written.
 */
import {
  type CheckpointStream,
  type Compatibility,
  type ExportFormat,
  type ExportPlan,
  oneGrid,
  type Refusal,
  type Remark,
  wholeEnds,
  gridName,
} from './format.ts'
import { layoutOf } from './onnx/layout.ts'
import { blocksOf, heldBits } from './onnx/nbits.ts'

/** Chromium's largest ArrayBuffer. */
const MOST_BUFFER = 2 ** 31

export const onnx: ExportFormat = {
  id: 'onnx',
  label: 'ONNX',
  summary: 'the model as a graph of ONNX Runtime (MatMulNBits): runs in transformers.js, in the browser and in Node.',
  library: 'transformers.js',
  stores: 'codes',
  accepts: wholeEnds('The graphs of ONNX folders have', accepts),
  rounds: () => null,
  // What the graph computes in, whatever the model’s own is.
  declares: () => 'float32',
  bytes: (plan) => (accepts(plan) ? 0 : layoutOf(plan, plan.decoder!).files.reduce((sum, bytes) => sum + bytes, 0)),
  remarks,
  write(plan, model, sink): CheckpointStream {
    const loaded = import('./onnx/stream.ts').then(({ OnnxStream }) => new OnnxStream(plan, model, sink))
    return {
      copy: async (between) => (await loaded).copy(between),
      linear: async (name, solved) => (await loaded).linear(name, solved),
      vector: async (name, bytes) => (await loaded).vector(name, bytes),
      finish: async () => (await loaded).finish(),
      verify: async (between) => (await loaded).verify(between),
    }
  },
  compatibility,
}

function accepts(plan: ExportPlan): Refusal | null {
  const { decoder, levels, outliers, settings, linears } = plan
  if (!decoder)
    return {
      why: 'ONNX graphs are supported for LLaMA, Mistral, Qwen2, Qwen3 and Gemma only.',
      instead: 'Choose another format; “Plain weights” (dense) can store every result.',
    }
  if (levels !== 'uniform')
    return {
      why: `MatMulNBits can store uniform integer grids only, not ${gridName(plan)}.`,
      instead: 'Choose a uniform grid, or the format “Plain weights” (dense).',
    }
  if (outliers)
    return {
      why: 'MatMulNBits cannot store outliers beside the codes.',
      instead: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
    }
  const mixed = oneGrid(plan, 'An ONNX folder')
  if (mixed) return mixed
  if (settings.actOrder)
    return {
      why: 'MatMulNBits supports groups of consecutive inputs only, not of reordered ones.',
      instead: 'Turn on static groups, or turn off act-order.',
    }
  if (decoder.headDim % 8)
    return {
      why: `ONNX Runtime’s attention needs a head size that is a multiple of 8, not ${decoder.headDim}.`,
      instead: 'Choose another format; “Plain weights” (dense) can store every result.',
    }
  if (linears.some((linear) => !blocksOf(linear, settings)))
    return {
      why: `MatMulNBits supports groups of 16, 32, 64 … inputs, not of ${settings.groupSize}.`,
      instead: 'Choose groups of 32, 64 or 128, or full rows.',
    }
  return null
}

function remarks({ settings, linears, decoder }: ExportPlan): Remark[] {
  const found: Remark[] = []
  const note = (field: string, message: string, hint = '') => found.push({ field, message, hint, severity: 'note' })
  if (settings.bits === 3)
    note(
      'bits',
      'ONNX Runtime does not support 3-bit weights: the file stores the same values in 4 bits each, and is as large as with 4 bits.',
    )
  if (settings.groupSize === -1 && linears.length) {
    const sizes = new Set(linears.map((linear) => blocksOf(linear, settings)!.size))
    const extra = linears.reduce((sum, linear) => sum + 32 * linear.q * (blocksOf(linear, settings)!.count - 1), 0)
    const weights = linears.reduce((sum, { q, p }) => sum + q * p, 0)
    note(
      'groupSize',
      `ONNX Runtime does not support full rows: each row’s scale is repeated for blocks of ${[...sizes].join(' or ')} inputs, ${(extra / weights).toFixed(2)} bits per weight more.`,
    )
  }
  if (settings.dtype === 'BF16' && decoder)
    note('formats', 'Embedding and head are stored in float16: bfloat16 values smaller than 8e-6 are rounded, by at most 3e-8.')
  return found
}

/** As of November 2026: onnxruntime 1.30, transformers.js 4.3. */
function compatibility(plan: ExportPlan): Compatibility[] {
  const { decoder, settings } = plan
  const { bits } = settings
  const dtype = { 2: 'q2', 4: 'q4', 8: 'q8' }[heldBits(bits)]
  const js = bits === 2 ? '4.1' : '4.0'
  const largest = Math.max(0, ...(decoder ? layoutOf(plan, decoder).files : []))
  const big = largest > MOST_BUFFER && `No: a file has ${(largest / 2 ** 30).toFixed(1)} GiB, more than a browser reads into memory.`
  const capped = decoder?.scoreCap && 'No: its attention kernel ignores this model’s cap on scores, and computes wrong results.'
  const rule = (runtime: string, against: (string | false | undefined | 0)[], note: string, command?: string): Compatibility => {
    const reason = against.find(Boolean) || ''
    return { runtime, loads: !reason, note: reason || note, ...(command && !reason && { command }) }
  }
  const load = (device: string) =>
    `const generate = await pipeline('text-generation', '{folder}', { device: '${device}' }); await generate('Once upon a time')`
  return [
    rule('ONNX Runtime (CPU)', [], 'Yes, in Node, Python and others; the graph is in onnx/.'),
    rule('transformers.js (Node)', [], `Yes, from version ${js} on, on the CPU; config.json says that its dtype is ${dtype}.`, load('cpu')),
    rule(
      'transformers.js (browser, WebAssembly)',
      [big],
      `Yes, from version ${js} on; all weights have to fit into 4 GB of memory.`,
      load('wasm'),
    ),
    rule('transformers.js (browser, WebGPU)', [capped, big], `Yes, from version ${js} on.`, load('webgpu')),
  ]
}
