/** Actions on the mixture of widths that a budget is filled with: found for the run that is chosen, then taken into the plan. */
import type { RunEvent } from '../../engine/job/events.ts'
import type { Job, RunSpec } from '../../engine/job/job.ts'
import { type Budget, type Mix, mixInWords } from '../../engine/job/mix.ts'
import { toErrorData } from '../../errors.ts'
import * as format from '../format.ts'
import { isMixOf, withMix } from '../mix.ts'
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
  const of = alone(job, run)
  const mixing = { run: run.id, of }
  core.set({ mix: { ...mixing, state: 'measuring', stopping: false, place: null, progress: null } })
  const unwatch = core.store.subscribe(({ job }) => {
    if (!isMixOf(of, job)) stopChanged(core)
  })
  try {
    const found = await core.engine.mix(of, budget, (event) => hear(core, event))
    if (isMixOf(of, core.get().job)) core.set({ mix: { ...mixing, state: 'found', found }, spoken: `Found: ${mixInWords(found)}.` })
    else core.set({ mix: { ...mixing, state: 'stopped' } })
  } catch (thrown) {
    const { mix } = core.get()
    const error = toErrorData(thrown)
    if (error.code !== 'cancelled') core.set({ mix: { ...mixing, state: 'failed', budget, error } })
    else core.set({ mix: mix?.state === 'measuring' && mix.stopping ? { ...mixing, state: 'stopped' } : null })
  } finally {
    unwatch()
  }
}

function hear(core: Core, event: RunEvent) {
  const { mix } = core.get()
  if (mix?.state !== 'measuring') return
  if (event.type === 'stage') core.set({ mix: { ...mix, place: event } })
  if (event.type === 'progress') core.set({ mix: { ...mix, progress: event } })
}

/** What is measured would be for a plan that is not there any more. */
function stopChanged(core: Core) {
  const { mix } = core.get()
  if (mix?.state !== 'measuring' || mix.stopping) return
  core.set({ mix: { ...mix, stopping: true }, spoken: 'Measuring widths was stopped, since the plan was changed.' })
  core.engine.cancel().catch(core.fail)
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
