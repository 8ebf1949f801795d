/** Layouts of quantized weights, told by what a quantization config says and by names of tensors. */
import type { JsonObject } from '../json.ts'
import type { Checkpoint, TensorEntry } from '../safetensors.ts'

/** Values of `quant_method`, and the usual names of the methods. */
const methods: Record<string, string> = {
  awq: 'AWQ',
  bitsandbytes: 'bitsandbytes',
  'compressed-tensors': 'compressed-tensors',
  fp8: 'FP8 with scales for blocks',
  fbgemm_fp8: 'FBGEMM FP8',
  mxfp4: 'MXFP4',
  modelopt: 'ModelOpt',
  marlin: 'Marlin',
  gptq_marlin: 'GPTQ arranged for Marlin kernels',
  gptq_bitblas: 'GPTQ arranged for BitBLAS',
  exl2: 'EXL2',
  exl3: 'EXL3',
  gguf: 'GGUF',
  hqq: 'HQQ',
  aqlm: 'AQLM',
  quip: 'QuIP#',
  vptq: 'VPTQ',
  higgs: 'HIGGS',
  spqr: 'SpQR',
  eetq: 'EETQ',
  quanto: 'Quanto',
  torchao: 'torchao',
  bitnet: 'BitNet',
  'auto-round': 'AutoRound',
  'intel/auto-round': 'AutoRound',
  'auto-round:auto_gptq': 'AutoRound',
  'quantease-sidecar': 'this program, as “Codes and outliers”, which only loader.py beside it reads',
}

/** Fields that only one method has, for configs without `quant_method`. */
const fields: [method: string, field: string][] = [
  ['bitsandbytes', 'load_in_4bit'],
  ['bitsandbytes', 'load_in_8bit'],
  ['awq', 'w_bit'],
  ['awq', 'q_group_size'],
  ['compressed-tensors', 'config_groups'],
  ['fp8', 'weight_block_size'],
]

/** The method that a config is of, by name or by a field that only it has; null where several are named, or none that is known. */
export function methodOf(config: JsonObject): string | null {
  const named = new Set([config.quant_method, config.method].filter((name) => name != null))
  if (named.size > 1) return null
  for (const name of named) return typeof name === 'string' ? name.toLowerCase() : null
  // The first configs of GPTQ named no method.
  return fields.find(([, field]) => config[field])?.[0] ?? 'gptq'
}

/** How a config that is not read names its method: `by EXL3: its quant_method is "exl3"`. */
export function foreignMethod(config: JsonObject): string {
  for (const field of ['method', 'quant_method']) {
    const named = config[field]
    if (named == null || named === 'gptq') continue
    const shown = JSON.stringify(named).slice(0, 60)
    const label =
      typeof named === 'string' && Object.hasOwn(methods, named.toLowerCase()) ? methods[named.toLowerCase()] : 'an unknown method'
    return `by ${label}: its ${field} is ${shown}`
  }
  const [method, field] = fields.find(([, one]) => config[one])!
  return `by ${methods[method]} ("${method}"): it has ${field}`
}

/** Tensor names below a module's path in each layout. A name that two layouts share is listed with the more common one. */
const layouts: [layout: string, suffixes: string[]][] = [
  ['packed codes', ['.qweight', '.qzeros', '.g_idx']],
  ['Marlin', ['.B', '.B_24', '.s', '.workspace']],
  ['compressed-tensors', ['.weight_packed', '.weight_shape', '.weight_zero_point', '.weight_g_idx', '.weight_global_scale']],
  [
    'bitsandbytes',
    ['.SCB', '.weight.absmax', '.weight.quant_map', '.weight.quant_state.bitsandbytes__nf4', '.weight.quant_state.bitsandbytes__fp4'],
  ],
  ['FP8 with scales for blocks', ['.weight_scale_inv']],
  ['NVFP4', ['.weight_scale_2']],
  ['FP8 or INT8 with scales (compressed-tensors, FBGEMM, ModelOpt)', ['.weight_scale', '.input_scale', '.scale_weight', '.weight_scales']],
  ['EXL2', ['.q_weight', '.q_scale', '.q_scale_max', '.q_groups', '.q_invperm']],
  ['EXL3', ['.trellis', '.suh', '.svh', '.mcg', '.mul1']],
  ['MLX', ['.biases']],
  ['MXFP4', ['_blocks', '_scales', '.weight_blocks', '.weight_scales']],
  ['HQQ', ['.W_q']],
  ['AQLM', ['.codebooks']],
  ['QuIP#', ['.Qidxs']],
  ['VPTQ', ['.centroids', '.res_centroids', '.centroids.weight']],
  ['Quanto', ['.weight._data', '.weight._scale']],
  ['a LoRA adapter that has not been merged', ['.base_layer.weight']],
]

/** The unreadable layout in which a module's weights are stored, with the tensor that shows it; null when they can be read. */
export function foreignLayout({ tensors }: Checkpoint, module: string): { layout: string; tensor: TensorEntry } | null {
  for (const [layout, suffixes] of layouts) {
    for (const suffix of suffixes) {
      const tensor = tensors.get(module + suffix)
      if (tensor) return { layout, tensor }
    }
  }
  return null
}
