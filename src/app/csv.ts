/** All figures of a job as one table in long form: a row for each value, as spreadsheets and data frames take it. */
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'
import { figureColumns } from '../engine/job/texts.ts'
import { type EndResult, type LayerResult, type RunResult, bitsPerWeight } from '../engine/job/result.ts'

/** Where a figure belongs; what does not apply is empty. `at`: a block, an iteration, a window or a second, as the figure says. */
interface Row {
  run?: string
  linear?: string
  figure: string
  at?: number
  value: number
}

/** What the table takes from a report; runs of several jobs have no time and memory in common. */
export type Figures = Pick<JobReport, 'fpPerplexity' | 'fpPerplexityError' | 'fpWindows' | 'fpLambada' | 'runs'> &
  Partial<Pick<JobReport, 'memory' | 'seconds'>> & { job: Pick<Job, 'runs'> }

export function toCsv(report: Figures): string {
  const labels = new Map(report.job.runs.map(({ id, label }) => [id, label]))
  const rows = [...ofModel(report), ...report.runs.flatMap((run) => ofRun(run).map((row) => ({ run: run.run, ...row })))]
  const lines = rows.map((row) => {
    const cells = { ...row, label: row.run === undefined ? undefined : labels.get(row.run) }
    return figureColumns.map((column) => quoted(cells[column] ?? ''))
  })
  return `${[figureColumns, ...lines].map((cells) => cells.join(',')).join('\r\n')}\r\n`
}

const quoted = (cell: string | number) => (/[",\r\n]/.test(String(cell)) ? `"${String(cell).replaceAll('"', '""')}"` : String(cell))

/** Those that are known. */
const known = (figures: Record<string, number | null | undefined>, rest: Partial<Row> = {}): Row[] =>
  Object.entries(figures).flatMap(([figure, value]) => (value == null ? [] : [{ ...rest, figure, value }]))

const byWindow = (figure: string, values: number[] | undefined): Row[] => (values ?? []).map((value, at) => ({ figure, at, value }))

function ofModel({ fpPerplexity, fpPerplexityError, fpWindows, fpLambada, memory = [], seconds }: Figures): Row[] {
  return [
    ...known({
      'perplexity, full precision': fpPerplexity,
      'perplexity standard error, full precision': fpPerplexityError,
      'last words right, full precision': fpLambada?.right,
      'last words asked': fpLambada?.passages,
      'seconds of the job': seconds,
    }),
    ...byWindow('loss by window, full precision', fpWindows?.loss),
    ...memory.map(({ seconds: at, held: value }) => ({ figure: 'GPU memory by second, bytes', at, value })),
  ]
}

function ofRun(run: RunResult): Row[] {
  return [
    ...known({
      'bits per weight': run.bitsPerWeight,
      'size of the weights, bytes': run.weightBytes,
      perplexity: run.perplexity,
      'perplexity standard error': run.perplexityError,
      'KL, nats': run.kl,
      'KL standard error, nats': run.klSpread?.error,
      'KL median, nats': run.klSpread?.median,
      'KL 99th percentile, nats': run.klSpread?.p99,
      'KL maximum, nats': run.klSpread?.max,
      'share of equal top tokens': run.top1,
      'last words right': run.lambada?.right,
      'mean relative error': run.meanRelativeError,
      'mean relative error, held out': run.meanHeldOutError,
      'worst relative error': run.worst?.relativeError,
      seconds: run.seconds,
    }),
    ...run.perplexities.map(({ blocks: at, value }) => ({ figure: 'perplexity by blocks quantized', at, value })),
    ...byWindow('loss by window', run.windows?.loss),
    ...byWindow('KL by window, nats', run.windows?.kl),
    ...run.layers.flatMap(ofLinear),
    ...(run.ends ?? []).flatMap(ofEnd),
  ]
}

function ofEnd(end: EndResult): Row[] {
  const figures = {
    'rows of the linear': end.shape[0],
    'columns of the linear': end.shape[1],
    'relative error of the linear': end.use === 'embedding' ? undefined : end.relativeError,
    'relative error of the linear, held out': end.heldOutError,
    'relative error of the rows of the table': end.tableError,
    'bits per weight of the linear': bitsPerWeight([end]),
    'seconds of the linear': end.seconds,
  }
  return known(figures, { linear: end.name })
}

function ofLinear(layer: LayerResult): Row[] {
  const { name: linear, objective, shape, aim } = layer
  return [
    ...known(
      {
        'rows of the linear': shape[0],
        'columns of the linear': shape[1],
        'relative error of the linear': layer.relativeError,
        'relative error of the linear, held out': layer.heldOutError,
        'bits per weight of the linear': bitsPerWeight([layer]),
        'iterations of the linear': layer.iterations,
        'products of the linear': layer.products,
        'damping of the linear': aim?.damping,
        'correction of the linear': aim?.alpha,
        'seconds of the linear': layer.seconds,
      },
      { linear },
    ),
    ...(objective?.iterations ?? []).map((at, i) => ({ linear, figure: 'objective by iteration', at, value: objective!.values[i] })),
    ...(objective?.relaxed ?? []).map((at) => ({ linear, figure: 'relaxed iteration', at, value: 1 })),
    ...(objective?.changed ?? []).flatMap((value, i) =>
      value === null ? [] : [{ linear, figure: 'share of codes changed by iteration', at: objective!.iterations[i], value }],
    ),
  ]
}
