/** What a journal holds, told without a model or a device, and whether a job can go on with it. */
import { inWords, WorkbenchError, toErrorData } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import { codeVersion, differences } from './fingerprint.ts'
import type { RunEvent } from '../job/events.ts'
import type { JournalSummary } from '../job/kept.ts'
import type { JobReport } from '../job/report.ts'
import type { LayerResult, RunResult } from '../job/result.ts'
import { Log } from './log.ts'
import type { Judgement } from '../host.ts'
import { readHead, countLinears } from './journal-files.ts'

export function mismatch(found: string[]): WorkbenchError {
  return new WorkbenchError(
    'journal-mismatch',
    `The unfinished job cannot be resumed: ${inWords(found, 'and')}. Results of both would be mixed.`,
    'Restore what it was started with, or start it from the beginning.',
  )
}

const pick = ({ perplexity, perplexityError, windows, lambada }: Judgement) => ({ perplexity, perplexityError, windows, lambada })

function beginningOf(log: Log): RunEvent[] {
  const beginning = log.get<RunEvent>('beginning')
  const score = log.get<Judgement>('baseline')
  return [...(beginning ? [beginning] : []), ...(score ? [{ type: 'baseline' as const, ...pick(score) }] : [])]
}

/** Events of an unfinished run about its linears and blocks. */
function eventsOf(run: string, log: Log): RunEvent[] {
  return log.keys().flatMap((key): RunEvent[] => {
    const [kind, blocks] = key.split(':')
    if (kind === 'linear') return [{ type: 'layer', run, layer: log.get<{ layer: LayerResult }>(key)!.layer }]
    if (kind === 'score') return [{ type: 'perplexity', run, blocks: Number(blocks), value: log.get<Judgement>(key)!.perplexity }]
    return []
  })
}

/** Summary of the journal, without a model or a device; `busy`: does not open files that another tab has open. */
export async function readJournal(store: Store, busy: boolean): Promise<JournalSummary | null> {
  const head = await readHead(store)
  if (!head) return null
  const { job, model, origin, started, fingerprint } = head
  const perBlock = model.linears.length
  const all = head.linears ?? job.runs.reduce((sum, { options }) => sum + ((options.blocks as number) || model.blocks) * perBlock, 0)
  const summary: JournalSummary = {
    job,
    model,
    origin,
    started,
    layers: { done: 0, all },
    results: [],
    events: [],
    bytes: 0,
    report: null,
    problem:
      fingerprint.code === codeVersion ? null : toErrorData(mismatch(differences(fingerprint, { ...fingerprint, code: codeVersion }))),
    modelSha256: fingerprint.model,
  }
  if (busy) return summary
  const present = new Set(await store.list())
  const open = async (name: string) => (present.has(name) ? await Log.open(store, name) : null)
  const log = await open('job')
  summary.report = log?.get<JobReport>('report') ?? null
  summary.events.push(...(log ? beginningOf(log) : []))
  for (const [i, { id, options }] of job.runs.entries()) {
    const result = log?.get<RunResult>(`result:${id}`)
    if (result) {
      summary.layers.done += result.layers.length
      summary.results.push(result)
      summary.events.push({ type: 'run-end', result })
      summary.bytes += result.export?.bytes ?? 0
    }
    const run = await open(`run-${i}`)
    if (!run) continue
    if (!result) {
      summary.layers.done += countLinears(run)
      const blocks = (options.blocks as number) || model.blocks
      summary.events.push({ type: 'run-start', run: id, blocks }, ...eventsOf(id, run))
    }
    summary.bytes += run.bytes
    await run.close()
  }
  await log?.close()
  return summary
}
