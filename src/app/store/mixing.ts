/** Actions on the mixture of widths that a budget is filled with: found for the run that is chosen, then taken into the plan. */
import type { RunEvent } from '../../engine/job/events.ts'
import type { Job, RunSpec } from '../../engine/job/job.ts'
import { type Budget, type Mix, mixInWords } from '../../engine/job/mix.ts'
import { toErrorData } from '../../errors.ts'
import * as format from '../format.ts'
import { withMix } from '../mix.ts'
import type { Core } from './core.ts'
import { edit } from './planning.ts'

/** The run by itself, as all of its linears alike. */
const alone = (job: Job, { overrides: _, ...run }: RunSpec): Job => ({ ...job, runs: [run] })

/** What its linears may all be, and what that takes. */
function widths(core: Core, run: RunSpec) {
  return core.engine.widths(alone(core.get().job!, run))
}

/** Measures what each width of each linear costs, where that is not known of the run, and fills the budget. */
async function findMix(core: Core, run: RunSpec, budget: Budget) {
  const { job } = core.get()
  if (!job) return
  const asked = alone(job, run)
  const known = core.get().mix
  core.set({ mix: { run: run.id, state: 'measuring', place: null, before: known?.state === 'found' ? known.found : null } })
  const hear = ({ type, ...event }: RunEvent) => {
    const { mix } = core.get()
    if (type === 'stage' && mix?.state === 'measuring')
      core.set({ mix: { ...mix, place: event as { stage: string; block: number | null } } })
  }
  try {
    const found = await core.engine.mix(asked, budget, hear)
    core.set({ mix: { run: run.id, state: 'found', of: asked, found }, spoken: `Found: ${mixInWords(found)}.` })
  } catch (thrown) {
    const error = toErrorData(thrown)
    core.set({ mix: error.code === 'cancelled' ? null : { run: run.id, state: 'failed', error } })
  }
}

const stopMix = (core: Core) => core.engine.cancel()

/** The run gets the mixture, and the uniform runs of the nearest sizes stand beside it. */
function takeMix(core: Core, id: string, mix: Mix) {
  const { catalog, job } = core.get()
  if (!catalog || !job) return
  const before = job.runs.length
  const next = withMix(catalog, job, id, mix)
  edit(core, next)
  core.set({ chosen: id, spoken: `The run has the mixture; ${format.plural(next.runs.length - before, 'uniform run')} beside it.` })
}

/** The actions of this file. */
export const actions = { widths, findMix, stopMix, takeMix }
