/** The page's state and all actions on it. No React here, so that it can be tested without a page. */
import type { Engine } from '../engine/hosts/client.ts'
import { bind, Core } from './store/core.ts'
import * as grams from './store/grams.ts'
import * as hub from './store/hub.ts'
import * as jobFiles from './store/job-files.ts'
import * as jobs from './store/jobs.ts'
import * as mixing from './store/mixing.ts'
import * as model from './store/model.ts'
import * as page from './store/page.ts'
import * as planning from './store/planning.ts'
import * as results from './store/results.ts'
import * as run from './store/run.ts'
import * as take from './store/take.ts'

export type Workbench = ReturnType<typeof createWorkbench>

const actions = {
  ...page.actions,
  ...model.actions,
  ...hub.actions,
  ...mixing.actions,
  ...take.actions,
  ...grams.actions,
  ...planning.actions,
  ...jobs.actions,
  ...jobFiles.actions,
  ...run.actions,
  ...results.actions,
}

/** A page on an engine: its state, and every action on it. */
export function createWorkbench(engine: Engine) {
  const core = new Core(engine)
  model.openGpu(core)
  jobs.findJobs(core)
  hub.watchHub(core)
  return {
    store: core.store,
    fail: core.fail,
    arrived: engine.arrived,
    /** By the Hub's own page; null where this page is not registered there. */
    leaveToSignIn: engine.hubSignIn,
    ...bind(core, actions),
  }
}
