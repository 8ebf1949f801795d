/** The runs side by side: what each stores and what it costs the model. */
import type { LastWords, ModelSummary, RunResult } from '../../engine/job.ts'
import { shortName } from '../charts/names.ts'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import { bestAtEqualStorage, type JobView, type RunView } from '../reduce.ts'
import { Bits } from './bits.tsx'
import { RunMark } from './controls.tsx'
import { Scroll } from './tables.tsx'
import { RunState } from './run.tsx'

interface Column {
  name: string
  /** Smaller is better; null where there is nothing to compare. */
  value: (run: RunView) => number | null
  show: (run: RunView) => React.ReactNode
  /** Of the model as it is. */
  full?: React.ReactNode
}

function columnsOf(view: JobView, unit: format.ErrorUnit, ran: ModelSummary | null): Column[] {
  const full = view.fpPerplexity
  return [
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
    ...(view.runs.some((run) => run.result?.meanHeldOutError !== undefined)
      ? [
          {
            name: 'Mean layer error, held out',
            value: (run: RunView) => run.result?.meanHeldOutError ?? null,
            show: (run: RunView) => format.relativeError(run.result?.meanHeldOutError ?? null, unit),
          },
        ]
      : []),
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
}

export function ResultTable({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const ran = useView((state) => state.ran)
  const columns = columnsOf(view, unit, ran)
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
              <td>{view.fpPerplexity === null ? 'not measured' : 'measured'}</td>
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
        breakdown. Errors are ‖(W−Ŵ)X‖² / ‖WX‖² on the calibration windows, or on windows of the same text that the methods did not see
        (held out). On small models layer errors and KL divergence rank methods more sharply than perplexity.
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
