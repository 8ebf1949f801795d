/** The charts of a job, computed from the job's view. */
import { memo, useId, useState } from 'react'
import * as format from '../format.ts'
import { maxPoints } from '../../engine/job/device.ts'
import type { JobView, RunView } from '../reduce.ts'
import { Curves } from './curves.tsx'
import { shortName } from './names.ts'
import type { Point } from './plot.tsx'
import { figure } from '../../figure.ts'

/** Of what was solved with damping or for a corrected target, whose last point is not the layer's error. */
export const otherObjective = 'of a damped or corrected target, so not the error in the tables'

const show2 = (value: number | undefined, show: (value: number) => string) => (value === undefined ? '' : show(value))

export function PerplexityByBlocks({ view }: { view: JobView }) {
  const full = view.fpPerplexity
  const series = view.runs.map((run) => {
    const points = run.perplexity.map(({ blocks, value }) => ({ x: blocks, y: value }))
    return { run: run.id, label: run.label, points: points.length && full !== null ? [{ x: 0, y: full }, ...points] : points }
  })
  const values = series.flatMap(({ points }) => points.map((point) => point.y))
  const log = Math.max(...values) > 20 * Math.min(...values)
  const every = Math.max(1, Math.ceil(view.blocks / 12))
  const marks = [...new Set(view.runs.flatMap((run) => run.perplexity.map((point) => point.blocks)))].sort((a, b) => a - b)
  return (
    <Curves
      title="Perplexity with the first k blocks quantized"
      empty={
        full === null
          ? 'First the perplexity of the model at full precision, then one point per block.'
          : `Full precision: ${format.perplexity(full)}. The first point appears after the first block.`
      }
      height={220}
      series={series}
      x={{
        label: 'Blocks quantized (k)',
        domain: [0, Math.max(1, view.blocks)],
        ticks: Array.from({ length: Math.floor(view.blocks / every) + 1 }, (_, i) => i * every),
        format: String,
        name: (x) => format.plural(x, 'block'),
      }}
      y={{ log, format: format.perplexity, tick: log ? format.count : undefined }}
      reference={full === null ? undefined : { y: full, label: `full precision ${format.perplexity(full)}` }}
      table={() => ({
        columns: ['Blocks', ...view.runs.map((run) => run.label)],
        rows: [
          ['0', ...view.runs.map(() => format.perplexity(full))],
          ...marks.map((blocks) => [
            String(blocks),
            ...view.runs.map((run) => show2(run.perplexity.find((point) => point.blocks === blocks)?.value, format.perplexity)),
          ]),
        ],
      })}
    />
  )
}

/** Of every run that iterates, on one linear: the one solved last, until another is chosen. */
export function ObjectiveByIteration({ view }: { view: JobView }) {
  const [picked, setPicked] = useState<string | null>(null)
  const id = useId()
  const drawn = new Set(view.runs.flatMap((run) => run.layers.flatMap(({ name, objective }) => (objective ? [name] : []))))
  const latest = view.runs.findLast(({ state, objective }) => state === 'running' && objective)?.objective?.linear
  const linears = view.layers.filter((name) => drawn.has(name))
  const shown = picked ?? latest ?? linears.at(-1) ?? null
  const curves = view.runs.map((run) => ({ run, points: shown === null ? [] : curveOf(run, shown) })).filter(({ points }) => points.length)
  const iterations = curves.flatMap(({ points }) => points.map(({ x }) => x))
  // While it is being solved; afterwards its iterations are all there are.
  const planned = Math.max(
    0,
    ...view.runs.map((run) => (run.objective?.linear === shown && !keptOf(run, shown) ? run.objective.iterations : 0)),
  )
  const marks = [...new Set(iterations)].sort((a, b) => a - b)
  return (
    <Curves
      title="Objective f(Ŵ) / f(0) by sweep"
      note={notesOf(curves, shown) || '\u00a0'}
      empty="Iterative methods, such as QuantEase, show their progress here for each linear."
      height={170}
      controls={
        shown !== null && (
          <label className="map-run" htmlFor={id}>
            <span className="sr">Linear whose objective is shown</span>
            <select id={id} className="input" value={picked ?? ''} onChange={(event) => setPicked(event.target.value || null)}>
              <option value="">
                {latest ? 'Running: ' : 'Last: '}
                {shortName(latest ?? linears.at(-1) ?? '')}
              </option>
              <Linears names={linears} />
            </select>
          </label>
        )
      }
      series={curves.map(({ run, points }) => ({ run: run.id, label: run.label, points: thinned(points) }))}
      x={{
        label: 'Sweep',
        domain: [Math.min(1, ...iterations), Math.max(2, planned, ...iterations)],
        format: String,
        name: (x) => `Sweep ${x}`,
      }}
      y={{ log: true, format: figure, tick: format.tick }}
      table={() => ({
        columns: ['Sweep', ...curves.map(({ run }) => run.label)],
        rows: marks.map((iteration) => [
          String(iteration),
          ...curves.map(({ points }) => {
            const point = points.find(({ x }) => x === iteration)
            return point ? `${figure(point.y, 4)}${point.hollow ? ', relaxed' : ''}` : ''
          }),
        ]),
      })}
    />
  )
}

function notesOf(curves: { run: RunView; points: Point[] }[], linear: string | null): string {
  const notes = [
    curves.some(({ points }) => points.some(({ hollow }) => hollow)) && 'hollow: relaxed',
    curves.some(({ run }) => run.layers.some(({ name, aim }) => name === linear && aim)) && otherObjective,
  ]
  return notes.filter(Boolean).join('; ')
}

/** Hundreds of choices, of which one is new at times. */
const Linears = memo(
  function Linears({ names }: { names: string[] }) {
    return names.map((name) => (
      <option key={name} value={name}>
        {shortName(name)}
      </option>
    ))
  },
  (a, b) => a.names.length === b.names.length && a.names.every((name, i) => name === b.names[i]),
)

const keptOf = ({ layers }: RunView, linear: string) => layers.find(({ name }) => name === linear)?.objective

/** From the linear's result, or as far as it has come; sweeps are counted from 1. */
function curveOf(run: RunView, linear: string): Point[] {
  const kept = keptOf(run, linear)
  if (kept) return kept.iterations.map((at, i) => ({ x: at + 1, y: kept.values[i], hollow: kept.relaxed.includes(at) }))
  if (run.objective?.linear !== linear) return []
  return run.objective.points.map(({ iteration, value, relaxed }) => ({ x: iteration + 1, y: value, hollow: relaxed }))
}

function thinned(points: Point[]): Point[] {
  const each = Math.max(1, Math.ceil(points.length / maxPoints))
  return points.filter((_, i) => i % each === 0)
}

function emptyMemory({ phase, report }: JobView): string {
  if (phase !== 'over') return 'GPU memory over time, as it is allocated and freed.'
  return report ? 'Not recorded across interruptions of a job.' : 'Recorded for a whole job: open one that is over by itself.'
}

export function MemoryOverTime({ view }: { view: JobView }) {
  const { series, peak } = view.memory
  const mib = (held: number) => held / 2 ** 20
  const last = Math.max(1, series.at(-1)?.seconds ?? 1)
  const step =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600].find((each) => last / each <= 5) ?? Math.ceil(last / 5 / 3600) * 3600
  return (
    <Curves
      title="GPU memory in use, MiB"
      note={peak > 0 ? `${view.phase === 'over' ? 'peak' : 'peak so far'} ${format.bytes(peak)}` : '\u00a0'}
      empty={emptyMemory(view)}
      height={130}
      legend={false}
      series={[{ run: null, label: 'Held', points: series.map(({ seconds, held }) => ({ x: seconds, y: mib(held) })) }]}
      x={{
        label: 'Time since the start',
        domain: [0, last],
        ticks: Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step),
        format: (x) => (x < 60 ? `${Math.round(x)}\u202fs` : format.duration(x)),
        name: (x) => format.clock(x),
      }}
      y={{ log: false, from: 0, format: (value) => String(Number(value.toPrecision(3))) }}
      table={() => ({
        columns: ['Seconds', 'MiB in use'],
        rows: series.map(({ seconds, held }) => [seconds.toFixed(1), mib(held).toFixed(2)]),
      })}
    />
  )
}
