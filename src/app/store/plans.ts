/** Plans that somebody edited, one for each model, so that reloading the page loses none. */
import type { Job } from '../../engine/job/job.ts'
import type { ModelSummary } from '../../engine/job/model.ts'
import type { TextSource } from '../../engine/job/texts.ts'
import { type TextPurpose, withDatasets } from '../texts.ts'
import type { State } from './state.ts'

const storageKey = 'quantease-workbench-plans'
/** Models whose plans are kept, the latest first. */
const most = 20

type Plans = [model: string, job: Job][]

/** What a model is known by before its weights are read. */
const nameOf = ({ name, source, parameters }: ModelSummary) =>
  JSON.stringify([source ? `${source.repo}@${source.revision}` : name, parameters])

function read(): Plans {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(storageKey) ?? '[]')
    return Array.isArray(kept) ? kept : []
  } catch {
    return []
  }
}

function write(model: ModelSummary, ...own: Plans) {
  try {
    const others = read().filter(([name]) => name !== nameOf(model))
    localStorage.setItem(storageKey, JSON.stringify([...own, ...others].slice(0, most)))
  } catch {
    // Private windows may refuse storage; the page then simply forgets.
  }
}

/** Of a quantized model there is nothing to plan but a measurement. */
export function keepPlan({ model }: Pick<State, 'model'>, job: Job) {
  if (model.state === 'ready' && !model.summary.quantized) write(model.summary, [nameOf(model.summary), job])
}

export const forgetPlan = (model: ModelSummary) => write(model)

/** The plan that was left for a model, with the texts of `first` where its own are not here any more; null where there is none. */
export function keptPlan(model: ModelSummary, first: Job, texts: TextSource[]): Job | null {
  const job = model.quantized ? undefined : read().find(([name]) => name === nameOf(model))?.[1]
  if (!job?.calibration || !job.evaluation || !Array.isArray(job.runs)) return null
  const all = withDatasets(texts, job)
  const here = (purpose: TextPurpose) => all.some(({ id }) => id === job[purpose]?.text)
  const { lambada, ...rest } = job
  return {
    ...first,
    ...rest,
    calibration: here('calibration')
      ? job.calibration
      : { ...job.calibration, text: first.calibration.text, column: undefined, chat: undefined },
    evaluation: here('evaluation')
      ? job.evaluation
      : { ...job.evaluation, text: first.evaluation.text, column: undefined, chat: undefined },
    ...(lambada && here('lambada') && { lambada }),
  }
}
