/** An engine in place of the page's own worker: it knows one recorded job, and says what happens in it when it is told to. */
import * as Comlink from 'comlink'
import type { LinearLook } from '../../src/engine/inspect/linear.ts'
import type { JobCheck } from '../../src/engine/job/check.ts'
import type { RunEvent } from '../../src/engine/job/events.ts'
import type { Job } from '../../src/engine/job/job.ts'
import { keptJob } from '../../src/engine/keep/kept-job.ts'
import type { Played } from './site.ts'

const played: Promise<Played> = fetch(new URL('recording.json', self.name)).then((answer) => answer.json())

/** What is due next; one at a time. */
const channel = new BroadcastChannel('steps')
let emit: (event: RunEvent) => void = () => {}
channel.onmessage = async ({ data }) => {
  for (const event of (await played).recording.steps[data] ?? []) emit(event)
}

const never = () => new Promise<never>(() => {})
const api: Record<string, unknown> = {
  load: async () => {},
  catalog: async () => (await played).catalog,
  gpu: async () => (await played).gpu,
  openDemo: async () => (await played).recording.summary.model,
  jobs: async () => [keptJob('recorded', (await played).recording.summary, false)],
  idle: never,
  sweep: async () => {},
  journal: async () => ({ busy: false, summary: (await played).recording.summary }),
  journalTexts: async () => [],
  jobFile: async () => {
    const { job, model, origin } = (await played).recording.summary
    return { model: { name: model.name, sha256: null, origin }, made: null, job }
  },
  planOfFile: async ({ job }: { job: Job }) => ({ job, missing: [], problems: [] }),
  hubAccount: async () => null,
  watchNetwork: () => {},
  cacheInfo: async () => ({ bytes: 0, budget: 0, full: null, usage: 0, quota: 0, persisted: false }),
  check: async (job: Job): Promise<JobCheck> => {
    const counts = { text: 1, windows: 16, length: 128 }
    const { catalog } = await played
    const loadsIn = ['vLLM', 'transformers', 'GPTQModel', 'llama.cpp'].map((runtime) => ({ runtime, loads: true, note: '' }))
    const formats = catalog.formats.map(({ id }, i) => ({ id, written: i === 0, refusal: null, bytes: 1e8, loadsIn }))
    return {
      problems: [
        {
          severity: 'warning',
          code: 'note',
          message: '2048 calibration tokens are fewer than the widest layer has inputs (2816): the Gram matrix cannot have full rank.',
          hint: 'Use 28160 tokens or more, or damping.',
          field: 'calibration.samples',
        },
      ],
      calibration: counts,
      evaluation: counts,
      runs: job.runs.map(({ id }) => ({
        id,
        bitsPerWeight: 3.125,
        weightBytes: 1e8,
        checkpointBytes: 1e8,
        solvedBytes: 1e8,
        formats,
        forecast: null,
        own: [],
      })),
    }
  },
  // Σ alone is kept of each run.
  linear: async (): Promise<LinearLook> => {
    const missing = { code: 'file-missing' as const, message: 'It is not kept.', hint: '' }
    const sigma = { seen: { inputs: 4, each: 1, mean: [1, 2, 3, 4], largest: [1, 2, 3, 4] } }
    const { job } = (await played).recording.summary
    const runs = Object.fromEntries(job.runs.map(({ id }) => [id, { solved: { missing }, sigma }]))
    return { dtype: null, weights: { missing }, stored: null, store: null, runs }
  },
  // A build from before jobs had ids gives none.
  goOn: async (...given: (string | Job | ((event: RunEvent) => void))[]) => {
    const hear = given.at(-1) as (event: RunEvent) => void
    emit = hear
    for (const event of (await played).recording.summary.events) hear(event)
    return never()
  },
}

// Whatever else is asked has no answer.
Comlink.expose(new Proxy(api, { get: (known, name) => known[name as string] ?? never }))
