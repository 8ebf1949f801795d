/** The Results step: comparison of the runs, and their files. */
import type { ExportedCheckpoint, JobReport, LastWords, RunResult, UsedText } from '../../engine/job.ts'
import { LayerErrors, MemoryOverTime, ObjectiveByIteration, PerplexityByBlocks } from '../charts/charts.tsx'
import { ErrorMap } from '../charts/error-map.tsx'
import { shortName } from '../charts/names.ts'
import { useView, useWorkbench } from '../context.ts'
import { canPickFolders, download } from '../files.ts'
import * as format from '../format.ts'
import { bestAtEqualStorage, type JobView, type RunView } from '../reduce.ts'
import { toMarkdown } from '../report.ts'
import { isBusy } from '../store/state.ts'
import { Bits } from './bits.tsx'
import { Bar, Button, Icon, RunMark, Scroll } from './controls.tsx'
import { CopyButton } from './problems.tsx'
import { Failures, RunState } from './run.tsx'
import './results.css'

export function ResultsPanel() {
  const view = useView((state) => state.view)
  const ran = useView((state) => state.ran)
  if (!view || !ran) return null
  if (view.runs.length === 0) return <Measured view={view} name={ran.name} />
  return (
    <>
      <div className="panel-head">
        <h1 tabIndex={-1}>Results for {ran.name}</h1>
        <Take view={view} />
      </div>
      <Conditions view={view} />
      {view.phase !== 'over' && <p className="notice">The job is still running; what is finished is here already.</p>}
      <Failures view={view} />
      <ResultTable view={view} />
      <div className={view.runs.length > 3 ? 'results-grid many' : 'results-grid'}>
        <div className="results-charts">
          <LayerErrors view={view} />
          <ErrorMap view={view} />
          <PerplexityByBlocks view={view} />
          <ObjectiveByIteration view={view} />
          <MemoryOverTime view={view} />
        </div>
        <aside className="exports" aria-labelledby="exports-title">
          <h2 id="exports-title">Export</h2>
          {view.runs.map((run) => (
            <Export key={run.id} run={run} asked={view.job.save} />
          ))}
        </aside>
      </div>
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

/** A job without runs: how good the model is as it is. */
function Measured({ view, name }: { view: JobView; name: string }) {
  // A measurement leaves the last job with runs alone: what it measured on the same windows can stand beside.
  const earlier = useView(({ journal }) => journal?.summary.report ?? null)
  const same = earlier && earlier.texts?.evaluation.tokensSha256 === view.texts?.evaluation.tokensSha256
  return (
    <>
      <div className="panel-head">
        <h1 tabIndex={-1}>Perplexity of {name}</h1>
        <Take view={view} />
      </div>
      <Failures view={view} />
      <section className="panel">
        <p className="big figures" data-testid="measured-perplexity">
          {format.perplexity(view.fpPerplexity)}
        </p>
        {view.fpPerplexityError !== null && (
          <p className="figures">standard error over windows {format.perplexity(view.fpPerplexityError)}</p>
        )}
        {view.fpLambada && (
          <p className="figures">
            Last-word accuracy: <b>{format.accuracy(view.fpLambada)?.text}</b> of {format.plural(view.fpLambada.passages, 'passage')},
            standard error {format.accuracy(view.fpLambada)?.error}
          </p>
        )}
        <Conditions view={view} />
      </section>
      {same && <Beside report={earlier} />}
    </>
  )
}

/** What the last job with runs found on the same windows. */
function Beside({ report }: { report: JobReport }) {
  const rows = [
    { id: null, label: `${report.model.name}, full precision`, perplexity: report.fpPerplexity, error: report.fpPerplexityError },
    ...report.runs.map(({ run, perplexity, perplexityError }) => ({
      id: run,
      label: report.job.runs.find(({ id }) => id === run)!.label,
      perplexity,
      error: perplexityError,
    })),
  ]
  return (
    <section className="panel" aria-labelledby="beside-title">
      <h2 id="beside-title">The last job on the same windows</h2>
      <Scroll label="The last job on the same windows">
        <table>
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col" className="number">
                Perplexity
              </th>
              <th scope="col" className="number">
                Standard error
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ id, label, perplexity, error }) => (
              <tr key={id}>
                <th scope="row">
                  {id !== null && <RunMark run={id} />} {label}
                </th>
                <td className="number">{format.perplexity(perplexity)}</td>
                <td className="number">{format.perplexity(error)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  )
}

function Take({ view }: { view: JobView }) {
  const catalog = useView((state) => state.catalog)
  const gpu = useView((state) => (state.gpu.state === 'ready' ? state.gpu.summary : null))
  const model = useView((state) => state.ran)
  if (!catalog || !gpu || !model) return null
  return (
    <div className="row">
      <CopyButton text={() => toMarkdown(view, { catalog, gpu, model })}>Copy as Markdown</CopyButton>
      <Button
        icon="download"
        disabled={!view.report}
        onClick={() =>
          download(`${model.name}-report.json`, new Blob([JSON.stringify(view.report, null, 2)], { type: 'application/json' }))
        }
      >
        Save report (JSON)
      </Button>
    </div>
  )
}

// ---------------------------------------------------------------- the table

interface Column {
  name: string
  /** Smaller is better; null where there is nothing to compare. */
  value: (run: RunView) => number | null
  show: (run: RunView) => React.ReactNode
  /** Of the model as it is. */
  full?: React.ReactNode
}

function ResultTable({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const ran = useView((state) => state.ran)
  const full = view.fpPerplexity
  const columns: Column[] = [
    {
      name: 'Bits per weight',
      value: () => null,
      show: (run) => (run.result && run.layers.length ? <Bits layers={run.layers} /> : '–'),
    },
    {
      name: 'Perplexity',
      full: (
        <>
          {format.perplexity(full)}
          {view.fpPerplexityError !== null && <small className="where">standard error {format.perplexity(view.fpPerplexityError)}</small>}
        </>
      ),
      value: (run) => run.result?.perplexity ?? null,
      show: (run) => (
        <>
          <Perplexity full={full} value={run.result?.perplexity ?? null} />
          {run.result?.perplexityError != null && (
            <small className="where">standard error {format.perplexity(run.result.perplexityError)}</small>
          )}
        </>
      ),
    },
    {
      name: 'KL from full precision, nats',
      value: (run) => run.result?.kl ?? null,
      show: (run) => format.divergence(run.result?.kl ?? null),
    },
    {
      name: 'Same top token',
      value: (run) => (run.result?.top1 == null ? null : 1 - run.result.top1),
      show: (run) => format.share(run.result?.top1 ?? null),
    },
    ...(view.job.lambada
      ? [
          {
            name: 'Last-word accuracy',
            value: (run: RunView) => (run.result?.lambada ? 1 - run.result.lambada.right / run.result.lambada.passages : null),
            show: (run: RunView) => <LastWordsRight words={run.result?.lambada} />,
            full: <LastWordsRight words={view.fpLambada} />,
          },
        ]
      : []),
    {
      name: 'Mean layer error',
      value: (run) => run.result?.meanRelativeError ?? null,
      show: (run) => format.relativeError(run.result?.meanRelativeError ?? null, unit),
    },
    {
      name: 'Worst layer error',
      value: (run) => run.result?.worst?.relativeError ?? null,
      show: (run) => <Worst worst={run.result?.worst ?? null} show={(value) => format.relativeError(value, unit)} />,
    },
    {
      name: 'Checkpoint',
      value: () => null,
      show: (run) => (run.result?.export ? format.bytes(run.result.export.bytes) : '–'),
      full: format.bytes(ran?.bytes ?? null),
    },
    {
      name: 'Time',
      value: (run) => run.result?.seconds ?? null,
      show: (run) => format.duration(run.result?.seconds ?? null),
    },
  ]
  const finished = view.runs.filter(({ state }) => state === 'finished')
  const best = columns.map((column) =>
    bestAtEqualStorage(finished.map((run) => ({ run: run.id, bitsPerWeight: run.result?.bitsPerWeight ?? 0, value: column.value(run) }))),
  )
  return (
    <section className="panel" aria-label="Results">
      <Scroll label="Result table">
        <table className="results sticky">
          <thead>
            <tr>
              <th scope="col">Run</th>
              {columns.map(({ name }) => (
                <th key={name} scope="col" className="number">
                  {name}
                </th>
              ))}
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            <tr className="baseline">
              <th scope="row">
                <svg className="run-mark" viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">
                  <path d="M-6 0h12" stroke="currentColor" strokeWidth="2" strokeDasharray="3 2" />
                </svg>{' '}
                Full precision
              </th>
              {columns.map(({ name, full = '–' }) => (
                <td key={name} className="number">
                  {full}
                </td>
              ))}
              <td>{full === null ? 'not measured' : 'measured'}</td>
            </tr>
            {view.runs.map((run) => (
              <tr key={run.id}>
                <th scope="row">
                  <RunMark run={run.id} />
                  {'\u00a0'}
                  {run.label}
                </th>
                {columns.map((column, i) => (
                  <td key={column.name} className={`number ${best[i].has(run.id) ? 'best' : ''}`}>
                    {column.show(run)}
                  </td>
                ))}
                <td>
                  <RunState run={run} />
                  {run.state !== 'finished' && run.layers.length > 0 && (
                    <small className="where">
                      after {run.layers.length} of {format.plural(view.layers.length, 'linear')}
                    </small>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      <p className="help">
        Bold: the best of the finished runs that store as many bits per weight, within 2 %. Bits per weight: point at a figure for a
        breakdown. Errors are ‖(W−Ŵ)X‖² / ‖WX‖² on the calibration text. On small models layer errors and KL divergence rank methods more
        sharply than perplexity.
      </p>
    </section>
  )
}

function LastWordsRight({ words }: { words: LastWords | undefined }) {
  const found = format.accuracy(words)
  if (!found) return '–'
  return (
    <>
      {found.text}
      <small className="where">standard error {found.error}</small>
    </>
  )
}

function Perplexity({ full, value }: { full: number | null; value: number | null }) {
  const change = format.perplexityChange(full, value)
  return (
    <>
      {format.perplexity(value)}
      {change && <span className={change.worse ? 'delta worse' : 'delta better'}>{change.text}</span>}
    </>
  )
}

function Worst({ worst, show }: { worst: RunResult['worst']; show: (value: number) => string }) {
  if (!worst) return '–'
  return (
    <>
      {show(worst.relativeError)}
      <small className="where">{shortName(worst.name)}</small>
    </>
  )
}

// ---------------------------------------------------------------- export

function whyNoCheckpoint({ state }: RunView, asked: boolean): string {
  if (state === 'waiting' || state === 'running') return 'The checkpoint appears here when the run has finished.'
  if (state === 'skipped') return 'The job ended before this run began.'
  return asked ? 'An unfinished run has no checkpoint.' : 'No checkpoint was requested in the plan.'
}

function LoadsIn({ title, loadsIn }: { title: string; loadsIn: ExportedCheckpoint['loadsIn'] }) {
  return (
    <>
      <h4>{title}</h4>
      <ul className="loads">
        {loadsIn.map(({ runtime, loads, note }) => (
          <li key={runtime}>
            <span className={loads ? 'yes' : 'no'}>
              <Icon name={loads ? 'check' : 'cancel'} />
            </span>
            <span>
              <b>{runtime}</b>
              <span className="sr">{loads ? ' loads it.' : ' does not load it.'}</span>
              {note && <span className="hint"> {note}</span>}
            </span>
          </li>
        ))}
      </ul>
    </>
  )
}

/** A result that an earlier version has kept is one checkpoint and says so itself. */
function checkpointsOf(made: NonNullable<RunResult['export']>): ExportedCheckpoint[] {
  return made.checkpoints ?? [{ folder: '', ...(made as unknown as Omit<ExportedCheckpoint, 'folder'>) }]
}

function Export({ run, asked }: { run: RunView; asked: boolean }) {
  const workbench = useWorkbench()
  const saving = useView((state) => state.saving[run.id])
  const made = run.result?.export
  const catalog = useView((state) => state.catalog)
  const checkpoints = made ? checkpointsOf(made) : []
  const labelOf = (id: string) => catalog?.formats.find((one) => one.id === id)?.label ?? id
  const busy = saving?.state === 'saving'
  const away = useView((state) => isBusy(state) || !state.journal || state.journal.busy)
  return (
    <section className="panel" aria-label={`Export ${run.label}`}>
      <h3>
        <RunMark run={run.id} />
        {'\u00a0'}
        {run.label}
      </h3>
      {!made && !run.result?.exportError && <p className="hint">{whyNoCheckpoint(run, asked)}</p>}
      {run.result?.exportError && (
        <div className="field-problem error">
          <p>
            No checkpoint: {run.result.exportError.message} {run.result.exportError.hint} The solved layers are kept.
          </p>
          <Button icon="file" disabled={away} onClick={workbench.goOn}>
            Write the checkpoint again
          </Button>
        </div>
      )}
      {made && (
        <>
          <p className="figures">
            <b>{format.bytes(made.bytes)}</b> · {checkpoints.map((one) => labelOf(one.format)).join(', ')} · written and read back correctly
          </p>
          <div className="row">
            {canPickFolders() && (
              <Button icon="folder" disabled={busy} onClick={() => workbench.save(run.id, 'folder')}>
                Save to a folder
              </Button>
            )}
            <Button icon="download" disabled={busy} onClick={() => workbench.save(run.id, 'zip')}>
              Download as one zip
            </Button>
          </div>
          {saving?.state === 'saving' && (
            <div>
              <Bar label={`Saving ${run.label}`} done={saving.total ? saving.bytes / saving.total : 0} />
              <p className="hint figures">Saving: {format.bytesOf(saving.bytes, saving.total)}</p>
            </div>
          )}
          {saving?.state === 'saved' && (
            <p className="hint" role="status">
              Saved as {saving.as}
            </p>
          )}
          {saving?.state === 'failed' && (
            <p className="field-problem error" role="alert">
              {saving.error.message} {saving.error.hint}
            </p>
          )}
          {checkpoints.map(({ format: id, loadsIn }) => (
            <LoadsIn key={id} title={checkpoints.length > 1 ? `${labelOf(id)} loads in` : 'Loads in'} loadsIn={loadsIn} />
          ))}
          <details>
            <summary>{format.plural(made.files.length, 'file')}</summary>
            <ul className="files">
              {made.files.map((file) => (
                <li key={file.path}>
                  <button
                    type="button"
                    className="link"
                    onClick={() =>
                      workbench.file(run.id, file.path).then((blob) => download(file.path.split('/').at(-1)!, blob), workbench.fail)
                    }
                  >
                    {file.path}
                  </button>
                  <span className="figures">{format.bytes(file.bytes)}</span>
                </li>
              ))}
            </ul>
          </details>
        </>
      )}
    </section>
  )
}
