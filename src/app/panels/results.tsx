/** The Results step: comparison of the runs, and their files. */
import type { JobReport } from '../../engine/job/report.ts'
import type { UsedText } from '../../engine/job/texts.ts'
import { MemoryOverTime, ObjectiveByIteration, PerplexityByBlocks } from '../charts/charts.tsx'
import { Maps } from '../charts/maps.tsx'
import { LayerErrors } from '../charts/multiples.tsx'
import { Pareto } from '../charts/pareto.tsx'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { answerOf, uniformAnswer } from '../judge.ts'
import { later } from '../later.ts'
import { when } from '../kept.ts'
import type { JobView } from '../reduce.ts'
import { useOrdered, useShown } from '../shown.ts'
import type { Ran } from '../store/state.ts'
import { Button } from './controls.tsx'
import { ExportTable } from './export-table.tsx'
import { ExportCard } from './exports.tsx'
import { Measured } from './measured.tsx'
import { OtherFormats } from './other-formats.tsx'
import { ResultTable } from './result-table.tsx'
import { Failures } from './run.tsx'
import { Take } from './take.tsx'
import './results.css'

const SideBySide = later(async () => (await import('./side.tsx')).SideBySide)

export function ResultsPanel() {
  const view = useView((state) => state.view)
  const ran = useView((state) => state.ran)
  return view && ran && <Results view={view} ran={ran} />
}

function Results({ view: planned, ran }: { view: JobView; ran: Ran }) {
  const view = useOrdered(planned)
  const recorded = useView((state) => state.recorded)
  if (view.runs.length === 0) {
    return (
      <>
        <div className="panel-head">
          <h1 tabIndex={-1}>Perplexity of {ran.name}</h1>
          <Take view={planned} />
        </div>
        <Recorded view={view} />
        <Failures view={view} />
        <Measured view={view}>
          <Conditions view={view} />
        </Measured>
        {!recorded && <SideBySide view={view} />}
      </>
    )
  }
  return (
    <>
      <div className="panel-head">
        <h1 tabIndex={-1}>Results for {ran.name}</h1>
        <Take view={planned} />
      </div>
      <Recorded view={view} />
      <Conditions view={view} />
      {view.phase !== 'over' && <p className="notice">The job is still running; what is finished is here already.</p>}
      <Failures view={view} />
      <Answer view={view} />
      <ResultTable view={view} />
      {recorded?.kind === 'report' ? (
        <div className="results-charts">
          <Charts view={view} />
        </div>
      ) : (
        <ResultsHere view={view} />
      )}
    </>
  )
}

/** With what was computed here: checkpoints, and runs that can be asked. */
function ResultsHere({ view }: { view: JobView }) {
  return (
    <>
      <OtherFormats view={view} />
      <ExportTable view={view} />
      <div className={view.runs.length > 3 ? 'results-grid many' : 'results-grid'}>
        <div className="results-charts">
          <Charts view={view} />
          <SideBySide view={view} />
        </div>
        <aside className="exports" aria-labelledby="exports-title">
          <h2 id="exports-title">Export</h2>
          {view.runs.map((run) => (
            <ExportCard key={run.id} run={run} view={view} />
          ))}
        </aside>
      </div>
    </>
  )
}

function Charts({ view }: { view: JobView }) {
  const shown = useShown(view)
  return (
    <>
      <Pareto view={shown} />
      <LayerErrors view={shown} />
      <Maps view={shown} />
      <PerplexityByBlocks view={shown} />
      {shown.runs.some(({ layers }) => layers.some(({ objective }) => objective)) && <ObjectiveByIteration view={shown} />}
      {!view.report?.gathered && <MemoryOverTime view={view} />}
    </>
  )
}

/** Said before anything else of what was not computed here. */
function Recorded({ view }: { view: JobView }) {
  const recorded = useView((state) => state.recorded)
  const { report } = view
  if (!recorded || !report) return null
  if (report.gathered) return <Gathered report={report} gathered={report.gathered} />
  if (recorded.kind === 'report') return <Reported report={report} name={recorded.name} />
  return (
    <p className="notice">
      <b>A recording.</b> The demo ran on {report.adapter.name}, {when(report.started)}, with version {report.workbench.version}. Nothing of
      it was computed here.
    </p>
  )
}

/** Of a job that ran elsewhere, or here another day. */
function Reported({ report, name }: { report: JobReport; name: string }) {
  const workbench = useWorkbench()
  return (
    <section className="notice" aria-label="The report">
      <p>
        <b>A report.</b> {name}: the job ran on {report.adapter.name}, {when(report.started)}, with version {report.workbench.version}. A
        report holds figures, not checkpoints.
      </p>
      <Button icon="next" onClick={workbench.planReport}>
        Plan the same job
      </Button>
    </section>
  )
}

/** Jobs without a result that are named. */
const most = 100

/** Of a sweep: what is done, and what is not. */
function Gathered({ report, gathered: { jobs, open } }: { report: JobReport; gathered: NonNullable<JobReport['gathered']> }) {
  const count = (state: string) => open.filter((one) => one.state === state).length
  return (
    <section className={`notice ${open.length ? 'warn' : ''}`} aria-label="The sweep">
      <p>
        <b>A sweep.</b> {jobs - open.length} of {format.plural(jobs, 'job')} are done, {count('failed')} failed, {count('missing')} missing.
        {report.runs.length < jobs - open.length &&
          ` The ${format.plural(report.runs.length, 'run')} here are on one model and the same texts; others are in other reports.`}{' '}
        They ran on {report.adapter.name} from {when(report.started)} on; their checkpoints are in the sweep’s folder.
      </p>
      {open.length > 0 && (
        <details className="more">
          <summary>Jobs without a result ({open.length})</summary>
          <ul>
            {open.slice(0, most).map(({ label, state, error }, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the list never changes
              <li key={i}>
                {label}: {state}
                {error && `, ${error}`}
              </li>
            ))}
          </ul>
          {open.length > most && <p className="hint">And {format.count(open.length - most)} more; the table of the sweep has all.</p>}
        </details>
      )}
    </section>
  )
}

/** What the figures below come to. */
function Answer({ view }: { view: JobView }) {
  const answer = answerOf(view)
  const uniform = uniformAnswer(view)
  return (
    <>
      {answer && <p className="answer">{answer}</p>}
      {uniform && <p className="notice">{uniform}</p>}
    </>
  )
}

function Conditions({ view }: { view: JobView }) {
  const { calibration, evaluation, texts, job } = view
  const of = (text: UsedText | undefined) => (text ? ` of ${text.name}` : '')
  return (
    <p className="hint">
      {calibration && view.runs.length > 0 && (
        <>
          Calibrated on {format.plural(calibration.windows, 'window')} of {calibration.length} tokens{of(texts?.calibration)}, seed{' '}
          {job.seed}.{' '}
        </>
      )}
      {evaluation && (
        <>
          Perplexity over {format.plural(evaluation.windows, 'window')} of {evaluation.length} tokens{of(texts?.evaluation)}.{' '}
        </>
      )}
      {texts?.lambada && <>Last words{of(texts.lambada)}.</>}
    </p>
  )
}
