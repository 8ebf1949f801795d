/** Actions on the device and the open model. */
import type { ModelSource } from '../../engine/hosts/client.ts'
import { toErrorData } from '../../errors.ts'
import * as plan from '../plan.ts'
import * as textsOf from '../texts.ts'
import type { Core } from './core.ts'
import { check, edit } from './planning.ts'
import { keptPlan } from './plans.ts'
import { isBusy, isOpen, type Step } from './state.ts'

export async function openGpu(core: Core) {
  core.set({ gpu: { state: 'opening' } })
  try {
    core.set({ gpu: { state: 'ready', summary: await core.engine.gpu() } })
  } catch (thrown) {
    core.set({ gpu: { state: 'missing', error: toErrorData(thrown) } })
  }
}

/** `next`: the step to show when it is open; null: what is shown stays. `recall`: with the plan that was left for it. */
export async function open(core: Core, source: ModelSource, next: Step | null = 'model', recall = true): Promise<boolean> {
  if (isBusy(core.get())) return false
  const mine = ++core.opening
  const demo = source.kind === 'demo'
  const hub = source.kind === 'hub' ? { repo: source.repo, revision: source.revision ?? 'main' } : null
  const name = source.kind === 'demo' ? 'the demo model' : source.kind === 'hub' ? source.repo : (source.name ?? 'the files')
  const { model: former, job: planned, check: checked, chosen, step } = core.get()
  if (former.state !== 'reading') core.former = { model: former, job: planned, check: checked, chosen, step }
  core.set({
    ...(!(source.kind === 'files' && core.get().lacks) && { replay: null, lacks: null }),
    model: { state: 'reading', name, hub, next, before: core.get().traffic?.fetched ?? 0 },
    job: null,
    ...(next && { step: 'model' as const }),
    fault: null,
  })
  try {
    const [known, summary] = await Promise.all([core.catalog, core.engine.open(source)])
    if (mine !== core.opening) return false
    const { texts, view } = core.get()
    const judged = view?.job.evaluation
    const first = plan.firstJob(known, texts, summary, demo)
    const again = summary.quantized && judged && texts.some(({ id }) => id === judged.text)
    const left = recall ? keptPlan(summary, first, texts) : null
    if (left) core.set({ texts: textsOf.withDatasets(texts, left) })
    const job = again ? plan.measureLike(first, judged, summary) : (left ?? first)
    core.set({ model: { state: 'ready', summary, demo }, grams: null, look: null, recalled: job === left, chosen: job.runs[0]?.id ?? null })
    edit(core, job, false)
    if (next && next !== 'model' && isOpen(core.get(), next)) core.set({ step: next })
    return true
  } catch (thrown) {
    if (mine !== core.opening) return false
    const error = toErrorData(thrown)
    const cancelled = error.code === 'cancelled'
    if (cancelled || core.former.model.state === 'ready') {
      // The engine still has the model that was open before, and its plan is as good as ever.
      core.set(core.former)
      if (!cancelled) core.set({ fault: { ...error, title: `Cannot use ${name}`, hub }, spoken: error.message })
      if (core.get().check.state === 'pending') check(core)
    } else core.set({ model: { state: 'refused', name, hub, error } })
    return false
  }
}

/** Back to a page without a model. */
function close(core: Core) {
  if (isBusy(core.get())) return
  core.opening++
  core.set({ model: { state: 'none' }, grams: null, job: null, step: 'model' })
}

/** Ends what is being read from the Hub, to open a model or to check a plan. */
function stopReading(core: Core) {
  return core.engine.stopHub().catch(core.fail)
}

/** The actions of this file. */
export const actions = { openGpu, open, close, stopReading }
