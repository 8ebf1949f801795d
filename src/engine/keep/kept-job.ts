/** A job in the list of those that are kept: what tells it from the others, and its best figure. */
import type { RunEvent } from '../job/events.ts'
import type { JournalSummary, KeptJob } from '../job/kept.ts'

type Begun = Extract<RunEvent, { type: 'job-start' }>

export function keptJob(id: string, summary: JournalSummary, busy: boolean, deleted = false): KeptJob {
  const { job, model, origin, started, layers, results, events, bytes, report, problem, modelSha256 } = summary
  const begun = events.find((event): event is Begun => event.type === 'job-start')
  const baseline = events.find((event) => event.type === 'baseline')
  return {
    id,
    busy,
    deleted,
    started,
    model: { name: model.name, sha256: modelSha256 },
    origin,
    runs: job.runs.map(({ id: run, label, method }) => {
      const result = results.find((one) => one.run === run)
      const { state, kl, perplexity, perplexityError, bitsPerWeight } = result ?? {}
      return {
        id: run,
        label,
        method,
        state: state ?? null,
        kl: kl ?? null,
        perplexity: perplexity ?? null,
        perplexityError: perplexityError ?? null,
        bitsPerWeight: bitsPerWeight ?? null,
        written: result?.export != null,
      }
    }),
    fpPerplexity: report?.fpPerplexity ?? baseline?.perplexity ?? null,
    fpPerplexityError: report?.fpPerplexityError ?? baseline?.perplexityError ?? null,
    texts: report?.texts ?? begun?.texts ?? null,
    layers,
    bytes,
    finished: report !== null,
    unwritten: results.some(({ exportError }) => exportError !== undefined),
    dropped: results.find(({ dropped }) => dropped)?.dropped ?? null,
    keepsSolved: job.keepSolved === true && report !== null,
    problem,
  }
}
