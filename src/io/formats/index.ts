/** Every export format, in the order in which they are offered. A new one is one file and one line here. */
import type { ExportFormat } from './format.ts'
import { gptq } from './gptq.ts'

export type { Compatibility, ExportFormat, ExportSettings, LinearPlan } from './format.ts'
export const formats: readonly ExportFormat[] = [gptq]
