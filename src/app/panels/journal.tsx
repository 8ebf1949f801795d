/** The job in the journal: interrupted, finished, or running in another tab. */
import { samePlace } from '../address.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { isShown } from '../formats.ts'
import { isBusy } from '../store/state.ts'
import { Button } from './controls.tsx'
import './journal.css'

/** Shown wherever a job could be started; `compact` where another one is being planned. */
export function JournalCard({ compact = false }: { compact?: boolean }) {
  const workbench = useWorkbench()
  const journal = useView((state) => state.journal)
  const view = useView((state) => state.view)
  const opened = useView((state) => state.model)
  const fault = useView((state) => state.fault)
  const away = useView((state) => isBusy(state) || state.gpu.state !== 'ready' || state.catalog === null)
  if (!journal || away) return null
  const { summary, busy, lacks } = journal
  const { job, model, origin, started, layers, results, report, problem, bytes } = summary
  // Its results are on the page already.
  if (report && isShown(view, summary)) return null
  const tried = opened.state === 'refused' ? opened.hub : (fault?.hub ?? null)
  const refused = origin.kind === 'hub' && samePlace(tried, origin)
  const saved = results.length > 0 && 'What is finished can still be saved.'
  const labels = job.runs.map(({ label }) => label)
  const when = new Date(started).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })
  const title = busy
    ? `Another tab is running a job on ${model.name}`
    : report
      ? `The last job on ${model.name} is finished`
      : `A job on ${model.name} is not finished`
  return (
    <section className="panel journal-card" aria-labelledby="journal-title">
      <div className="journal-words">
        <h2 id="journal-title">{title}</h2>
        <p>
          {labels.join('; ')}
          {origin.kind === 'hub' && `, from commit ${origin.revision.slice(0, 7)} of ${origin.repo}`}. Started {when}
          {busy
            ? '.'
            : report
              ? results.some(({ exportError }) => exportError)
                ? `; a checkpoint could not be written, and can be from its results (${format.bytes(bytes)} kept).`
                : `; its checkpoints are still here (${format.bytes(bytes)}).`
              : `; ${layers.done} of ${format.plural(layers.all, 'linear')} solved, ${results.length} of ${format.plural(job.runs.length, 'run')} finished, ${format.bytes(bytes)} kept.`}
        </p>
        {problem && !report && (
          <p className="bad">
            {problem.message} {saved}
          </p>
        )}
        {refused && (
          <p className="bad">
            It goes on only with the commit that it began with, and that could not be opened. Another one may hold other weights; results of
            both would be mixed. {saved}
          </p>
        )}
        {lacks && (
          <p>
            <b>Choose or drop the folder “{origin.kind === 'files' ? origin.name : model.name}” again</b> to resume: this browser cannot
            open it by itself.
          </p>
        )}
        <p className="hint">
          {busy
            ? 'One tab runs at a time, since both would write the same files. This page can continue as soon as the other one has finished.'
            : compact
              ? 'Only one job is kept: starting another asks before it deletes this one.'
              : report
                ? 'Only one job is kept: the next one asks before it takes their place.'
                : refused
                  ? 'It can be resumed as soon as that commit can be read again.'
                  : 'It continues after the last solved linear and writes the same files as an uninterrupted job.'}
        </p>
      </div>
      {!busy && (
        <div className="row">
          {!report && !problem && (
            <Button kind={compact || refused ? 'plain' : 'primary'} icon="play" onClick={workbench.goOn}>
              Resume
            </Button>
          )}
          {results.length > 0 && (
            <Button kind={report && !compact ? 'primary' : 'plain'} icon="next" onClick={workbench.openResults}>
              Open the results
            </Button>
          )}
          <Button icon="cancel" onClick={workbench.discard}>
            Discard
          </Button>
        </div>
      )}
    </section>
  )
}
