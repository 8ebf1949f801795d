/** The runs side by side: what each stores and what it costs the model. */
import { Fragment, useState } from 'react'
import { countedIn, type KlSpread, type LastWords, type RunResult } from '../../engine/job/result.ts'
import { shortName } from '../charts/names.ts'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import { bestAtEqualStorage, type Change, frontOf, measuredOf, perplexityChange } from '../judge.ts'
import { describeRun } from '../plan.ts'
import type { JobView, RunView } from '../reduce.ts'
import type { Ran } from '../store/state.ts'
import { sizeOf, storedBits } from '../sizes.ts'
import { Bits } from './bits.tsx'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { Scroll } from './tables.tsx'
import { pinnedFirst } from '../shown.ts'
import { RunState } from './run.tsx'
import { RunLooks } from './run-looks.tsx'

interface Column {
  name: string
  /** What it is sorted by; smaller is better. */
  value: (run: RunView) => number | null
  /** The value window by window, where it has an error. */
  windows?: (result: RunResult) => number[] | undefined
  /** No figure of merit: nobody is the best. */
  unranked?: boolean
  show: (run: RunView) => React.ReactNode
  /** Of the model as it is. */
  full?: React.ReactNode
}

function columnsOf(view: JobView, unit: format.ErrorUnit, ran: Ran | null): Column[] {
  return [
    {
      name: 'Bits per weight',
      value: (run) => run.result?.bitsPerWeight || null,
      unranked: true,
      show: (run) => (run.result && run.layers.length ? <Bits layers={countedIn(run.result)} /> : '–'),
      full: format.bitsPerWeight(ran && storedBits(ran)),
    },
    {
      name: 'Size',
      value: (run) => sizeOf(run, ran)?.bytes ?? null,
      unranked: true,
      show: (run) => <Size size={sizeOf(run, ran)} />,
      full: format.bytes(ran?.bytes ?? null),
    },
    perplexityColumn(view),
    klColumn,
    {
      name: 'Mean layer error',
      value: (run) => run.result?.meanRelativeError ?? null,
      show: (run) => format.relativeError(run.result?.meanRelativeError ?? null, unit),
      full: '0',
    },
    ...(view.runs.some((run) => run.result?.meanHeldOutError !== undefined) ? [heldOutColumn(unit)] : []),
    {
      name: 'Same top token',
      value: (run) => (run.result?.top1 == null ? null : 1 - run.result.top1),
      show: (run) => format.share(run.result?.top1 ?? null),
      full: format.share(1),
    },
    ...(view.job.lambada ? [lastWordsColumn(view)] : []),
    {
      name: 'Worst layer error',
      value: (run) => run.result?.worst?.relativeError ?? null,
      show: (run) => <Worst worst={run.result?.worst ?? null} show={(value) => format.relativeError(value, unit)} />,
      full: '0',
    },
    ...spreadColumns,
    {
      name: 'Time',
      value: (run) => run.result?.seconds ?? null,
      show: (run) => format.duration(run.result?.seconds ?? null),
    },
  ]
}

function perplexityColumn(view: JobView): Column {
  const { fpPerplexity: full, fpPerplexityError } = view
  return {
    name: 'Perplexity',
    full: (
      <>
        {format.perplexity(full)}
        <StandardError value={fpPerplexityError} show={format.perplexity} />
      </>
    ),
    value: (run) => run.result?.perplexity ?? null,
    windows: (result) => result.windows?.loss,
    show: ({ result }) => {
      const change = perplexityChange(view, result)
      return (
        <>
          <Perplexity value={result?.perplexity ?? null} change={change} />
          <StandardError value={result?.perplexityError ?? null} change={change?.error} show={format.perplexity} />
        </>
      )
    },
  }
}

const spreadColumn = (name: string, key: keyof KlSpread): Column => ({
  name,
  value: (run) => run.result?.klSpread?.[key] ?? null,
  show: (run) => format.divergence(run.result?.klSpread?.[key] ?? null),
  full: '0',
})

const klColumn: Column = {
  name: 'KL from full precision, nats',
  value: (run) => run.result?.kl ?? null,
  windows: (result) => result.windows?.kl,
  show: ({ result }) => (
    <>
      {format.divergence(result?.kl ?? null)}
      <StandardError value={result?.klSpread?.error ?? null} show={format.divergence} />
    </>
  ),
  full: '0',
}

const spreadColumns: Column[] = [
  spreadColumn('KL median', 'median'),
  spreadColumn('KL 99th percentile', 'p99'),
  spreadColumn('KL maximum', 'max'),
]

const heldOutColumn = (unit: format.ErrorUnit): Column => ({
  name: 'Mean layer error, held out',
  value: (run) => run.result?.meanHeldOutError ?? null,
  show: (run) => format.relativeError(run.result?.meanHeldOutError ?? null, unit),
  full: '0',
})

function lastWordsColumn(view: JobView): Column {
  return {
    name: 'Last-word accuracy',
    value: (run) => (run.result?.lambada ? 1 - run.result.lambada.right / run.result.lambada.passages : null),
    show: (run) => <LastWordsRight words={run.result?.lambada} />,
    full: <LastWordsRight words={view.fpLambada} />,
  }
}

/** By which column, and which way; null: as planned. */
type Order = { column: string; descending: boolean } | null

/** Up, down, and back to the plan's order. */
function turned(order: Order, column: string): Order {
  if (order?.column !== column) return { column, descending: false }
  return order.descending ? null : { column, descending: true }
}

function sorted(runs: RunView[], columns: Column[], order: Order): RunView[] {
  const column = columns.find(({ name }) => name === order?.column)
  if (!column || !order) return runs
  const sign = order.descending ? -1 : 1
  // What has no value comes last, either way.
  const place = (run: RunView) => sign * (column.value(run) ?? sign * Number.MAX_VALUE)
  return [...runs].sort((a, b) => place(a) - place(b))
}

export function ResultTable({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const ran = useView((state) => state.ran)
  const pinned = useView((state) => state.pinned)
  const [order, setOrder] = useState<Order>(null)
  const columns = columnsOf(view, unit, ran)
  const best = columns.map((column) => bestOf(column, view))
  const measured = measuredOf(view)
  const front = new Set(measured.length > 1 ? frontOf(measured).map(({ run }) => run.id) : [])
  return (
    <section className="panel" aria-label="Results">
      <Scroll label="Result table">
        <table className="results sticky">
          <Head columns={columns} order={order} onSort={(name) => setOrder(turned(order, name))} />
          <tbody>
            <FullPrecision columns={columns} measured={view.fpPerplexity !== null} />
            {pinnedFirst(sorted(view.runs, columns, order), pinned).map((run) => (
              <tr key={run.id} data-run={run.id}>
                <th scope="row">
                  <span className="result-run">
                    <RunMark run={run.id} />
                    <span>{run.label}</span>
                    <RunLooks run={run} />
                  </span>
                  <Means run={run.id} view={view} />
                  {front.has(run.id) && <small className="where">on the front</small>}
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
        Bold: the best, ties included, of the finished runs that store as many bits per weight, within 2 %. ±: standard error over the
        windows. A difference within twice its standard error, taken over the same windows, is a tie; only a larger change of perplexity has
        a colour and an arrow. On the front: no run has a smaller KL with as few bits. Bits per weight: point at a figure for a breakdown.
        Size: the weights in the first of the run’s formats, without tokenizer and report. Errors are ‖(W−Ŵ)X‖² / ‖WX‖² on the calibration
        windows, or on windows of the same text that the methods did not see (held out). On small models layer errors and KL divergence rank
        methods more sharply than perplexity.
      </p>
    </section>
  )
}

/** How a run was made, whatever it is called. */
function Means({ run, view }: { run: string; view: JobView }) {
  const catalog = useView((state) => state.catalog)
  const spec = view.job.runs.find(({ id }) => id === run)
  if (!catalog || !spec) return null
  const solver = catalog.solvers.find(({ id }) => id === spec.method)
  return <small className="where means">{[solver?.label ?? spec.method, describeRun(catalog, spec)].join(', ')}</small>
}

function bestOf({ value, windows, unranked }: Column, { runs }: JobView): Set<string> {
  if (unranked) return new Set()
  const figures = runs.flatMap((run) => {
    const { id, state, result } = run
    if (state !== 'finished' || !result) return []
    return [{ run: id, bitsPerWeight: result.bitsPerWeight, value: value(run), windows: windows?.(result) }]
  })
  return bestAtEqualStorage(figures)
}

function Head({ columns, order, onSort }: { columns: Column[]; order: Order; onSort: (name: string) => void }) {
  return (
    <thead>
      <tr>
        <th scope="col">Run</th>
        {columns.map(({ name }) => {
          const sort = order?.column === name ? (order.descending ? 'descending' : 'ascending') : undefined
          return (
            <th key={name} scope="col" className="number" aria-sort={sort}>
              <button type="button" className="sort" onClick={() => onSort(name)}>
                {name}
                {sort && <Icon name={sort === 'ascending' ? 'up' : 'down'} />}
              </button>
            </th>
          )
        })}
        <th scope="col">State</th>
      </tr>
    </thead>
  )
}

function FullPrecision({ columns, measured }: { columns: Column[]; measured: boolean }) {
  return (
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
      <td>{measured ? 'measured' : 'not measured'}</td>
    </tr>
  )
}

interface ErrorProps {
  value: number | null
  /** Of the change against full precision, which shares its windows. */
  change?: string | null
  show: (value: number) => string
}

function StandardError({ value, change = null, show }: ErrorProps) {
  if (value === null) return null
  return (
    <>
      <small className="where whole">± {show(value)}</small>
      {change !== null && <small className="where whole">change ± {change}</small>}
    </>
  )
}

function Size({ size }: { size: ReturnType<typeof sizeOf> }) {
  if (!size) return '–'
  return (
    <>
      {format.bytes(size.bytes)}
      {size.estimated && <small className="where">estimated</small>}
    </>
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

/** The arrow says what the colour says. */
const arrows = { worse: ' ↑', better: ' ↓', tie: '' }

function Perplexity({ value, change }: { value: number | null; change: Change | null }) {
  return (
    <>
      {format.perplexity(value)}
      {change && <span className={`delta ${change.verdict}`}>{change.text + arrows[change.verdict]}</span>}
    </>
  )
}

function Worst({ worst, show }: { worst: RunResult['worst']; show: (value: number) => string }) {
  if (!worst) return '–'
  return (
    <>
      {show(worst.relativeError)}
      <small className="where">{breakable(shortName(worst.name))}</small>
    </>
  )
}

/** A module path that may be broken behind its dots. */
const breakable = (path: string) =>
  path.split('.').map((part, i) => (
    <Fragment key={path.split('.', i + 1).join('.')}>
      {i > 0 && (
        <>
          .<wbr />
        </>
      )}
      {part}
    </Fragment>
  ))
