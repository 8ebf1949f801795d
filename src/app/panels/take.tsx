/** The results, out of the page: as text, figures, a report, and the job that repeats them. */
import { useView, useWorkbench } from '../context.ts'
import { type Figures, toCsv } from '../csv.ts'
import { download } from '../files.ts'
import type { JobView } from '../reduce.ts'
import { toMarkdown } from '../report.ts'
import { fileNameOf, jobFileName } from '../store/job-files.ts'
import { shownJob } from '../store/jobs.ts'
import { Button } from './controls.tsx'
import { CopyButton } from './problems.tsx'

export function Take({ view }: { view: JobView }) {
  const workbench = useWorkbench()
  const catalog = useView((state) => state.catalog)
  // Runs of several jobs may be of several adapters.
  const gpu = useView(({ gpu, shown }) => (gpu.state === 'ready' && shown.jobs.length < 2 ? gpu.summary : null))
  const model = useView((state) => state.ran)
  const kept = useView(shownJob)
  const jobs = useView(({ shown }) => shown.jobs.length)
  const figures = figuresOf(view)
  if (!catalog || !model) return null
  return (
    <div className="row">
      <CopyButton text={() => toMarkdown(view, { catalog, gpu, model })}>Copy as Markdown</CopyButton>
      <Button
        icon="download"
        disabled={!view.report}
        onClick={() =>
          download(`${fileNameOf(model.name)}.report.json`, new Blob([JSON.stringify(view.report, null, 2)], { type: 'application/json' }))
        }
      >
        Save report (JSON)
      </Button>
      <Button
        icon="download"
        disabled={!figures}
        onClick={() => download(`${fileNameOf(model.name)}.figures.csv`, new Blob([toCsv(figures!)], { type: 'text/csv' }))}
      >
        Save figures (CSV)
      </Button>
      {kept && (
        <Button icon="download" onClick={() => workbench.saveJobFile(kept.id)}>
          Save job file
        </Button>
      )}
      {!view.report && (
        <span className="hint">
          {jobs > 1 ? 'A report is of one job: open each by itself to save it.' : 'A report is made at the end of a job.'}
        </span>
      )}
    </div>
  )
}

/** Of a job that is over, or of the runs of several. */
function figuresOf(view: JobView): Figures | null {
  const results = view.runs.flatMap(({ result }) => result ?? [])
  if (view.report || view.phase !== 'over' || !results.length) return view.report
  const { job, fpPerplexity, fpPerplexityError, fpWindows, fpLambada } = view
  return { job, fpPerplexity, fpPerplexityError, fpWindows, fpLambada, runs: results }
}

/** What repeats a run of the results in a terminal; nothing where its job is not kept. */
export function RepeatCommand({ run }: { run: string }) {
  const kept = useView(({ jobs, shown }) => jobs.find(({ id }) => id === shown.runs[run]?.job))
  const id = useView(({ shown }) => shown.runs[run]?.run)
  if (!kept || !id) return null
  const file = jobFileName(kept.model.name)
  const model = kept.origin.kind === 'files' ? ' --model DIR' : ''
  const line = `npm run --silent quantize -- --job ${file}${kept.runs.length > 1 ? ` --run ${id}` : ''}${model}`
  return (
    <details>
      <summary>Repeat it in a terminal</summary>
      <div className="command">
        <code>{line}</code>
        <CopyButton kind="quiet" text={() => line} label="Copy the command that repeats the run" />
      </div>
      <p className="hint">
        {file} is saved above{model && '; DIR is the model’s folder'}. --save OUT writes the checkpoint.
      </p>
    </details>
  )
}
