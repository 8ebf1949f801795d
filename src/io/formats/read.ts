/** Recognizes the layout of a quantized checkpoint. Each readable layout is one file here and one line in the list. */
import { contradiction } from '../facts.ts'
import { foreignMethod, methodOf } from './foreign.ts'
import { objects, type Packing, type QuantizationConfig, unreadable } from './packing.ts'
import { readAwq } from './read-awq.ts'
import { readCompressed } from './read-compressed.ts'
import { gptqPacking, readGptqConfig } from './read-gptq.ts'

/** The function that reads the configs of each method. */
const readers: Record<string, (configs: readonly QuantizationConfig[]) => Packing> = {
  awq: readAwq,
  'compressed-tensors': readCompressed,
  gptq: (configs) => gptqPacking(readGptqConfig(configs)),
}

/**
 * The settings of a model's quantization configs, merged.
 * @throws WorkbenchError `config-unsupported` for another method, layout or width; `config-invalid` for wrong fields, and for fields that
 * contradict each other
 */
export function readPacking(configs: readonly QuantizationConfig[]): Packing {
  const methods = objects(configs).map(({ file, value }) => {
    // The method is checked first: fields of other methods would be reported as mistakes.
    const method = methodOf(value)
    if (method !== null && Object.hasOwn(readers, method)) return method
    throw unreadable(file, `the model is quantized already, ${foreignMethod(value)}`)
  })
  const other = methods.findIndex((method) => method !== methods[0])
  if (other >= 0)
    throw contradiction(
      `the quantization config in ${configs[other].file} is of ${methods[other]}, but that in ${configs[0].file} of ${methods[0]}`,
    )
  return readers[methods[0]](configs)
}
