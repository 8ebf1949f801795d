/** Every export format, in the order in which they are offered. A new one is one file and one line here. */
import { dense } from './dense.ts'
import type { ExportFormat } from './format.ts'
import { gptq } from './gptq.ts'

export type { Compatibility, DtypeName, ExportFormat, ExportSettings, LinearPlan, NotLoaded } from './format.ts'
export { dtypeNames, MOST_HALF, modelDtype } from './format.ts'
export const formats: readonly ExportFormat[] = [gptq, dense]

/** The first format that can hold a result; only dense ones hold outliers. */
export function formatFor(outliers: boolean): ExportFormat {
  return formats.find(({ stores }) => stores === 'dense' || !outliers)!
}
