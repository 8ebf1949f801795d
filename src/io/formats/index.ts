/** The list of export formats, in the order in which they are offered. A new format is one file and one line here. */
import { awqGemm } from './awq.ts'
import { compressedTensors } from './compressed-tensors.ts'
import { dense } from './dense.ts'
import type { ExportFormat, ExportPlan } from './format.ts'
import { gguf } from './gguf.ts'
import { gptq } from './gptq.ts'
import { mlx } from './mlx.ts'
import { onnx } from './onnx.ts'
import { sidecar } from './sidecar.ts'

export type { Decoder } from './decoder.ts'
export type {
  CheckpointStream,
  Compatibility,
  DtypeName,
  ExportFormat,
  ExportPlan,
  ExportSettings,
  FloatDtype,
  LinearPlan,
  NotLoaded,
  Remark,
} from './format.ts'
export type { AttentionFacts, ModelFacts, ModelPart, Rope, Vocabulary } from './model.ts'
export { dtypeNames, MOST_HALF, modelDtype } from './format.ts'
export { withCommands } from './runtimes.ts'
export const formats: readonly ExportFormat[] = [gptq, compressedTensors, awqGemm, gguf, dense, mlx, onnx, sidecar]

/** The formats that a result is written in: those with these ids, or else the first that can store it. */
export function formatsFor(plan: ExportPlan, asked: readonly string[] = []): ExportFormat[] {
  if (asked.length) return formats.filter(({ id }) => asked.includes(id))
  return formats.filter((format) => !format.accepts(plan)).slice(0, 1)
}
