/** How the objective of one linear falls, sweep by sweep, of every run; below it, how many codes each sweep changes. */
import * as format from '../format.ts'
import { runColour, runShape } from '../panels/run-mark.tsx'
import type { JobView } from '../reduce.ts'
import { otherObjective } from './charts.tsx'
import { ChartFrame } from './frame.tsx'
import { linearScale, logScale } from './scale.ts'
import { figure } from '../../figure.ts'

const edge = { left: 56, right: 12, top: 10, bottom: 34 }
const heights = { objective: 190, changed: 92 }

interface Trace {
  run: string
  label: string
  /** `changed`: share of the codes. */
  points: { iteration: number; value: number; relaxed: boolean; changed: number | null }[]
}

/** A run that does not iterate has one value. */
interface Level {
  run: string
  label: string
  value: number
}

export function LinearObjective({ view, name }: { view: JobView; name: string }) {
  const { traces, levels, aimed } = drawn(view, name)
  const changes = traces.some(({ points }) => points.some(({ changed }) => changed !== null))
  const iterations = [...new Set(traces.flatMap(({ points }) => points.map(({ iteration }) => iteration)))].sort((a, b) => a - b)
  const notes = [
    traces.some(({ points }) => points.some(({ relaxed }) => relaxed)) && 'hollow: relaxed, nothing is rounded',
    levels.length > 0 && 'dashed: methods without sweeps',
    aimed && otherObjective,
  ].filter(Boolean)
  return (
    <ChartFrame
      title="Objective f(Ŵ) / f(0) by sweep, log scale"
      note={notes.join('; ') || undefined}
      legend={[...traces, ...levels].map(({ run, label }) => ({ run, label }))}
      height={heights.objective + (changes ? heights.changed : 0)}
      empty={traces.length ? null : 'Iterative methods, such as QuantEase, show their progress here.'}
      table={{
        columns: ['Sweep', ...traces.flatMap(({ label }) => (changes ? [label, `${label}, codes changed`] : [label]))],
        rows: [
          ...iterations.map((iteration) => [String(iteration + 1), ...traces.flatMap((trace) => cells(trace, iteration, changes))]),
          ...levels.map(({ label, value }) => [`${label}: ${figure(value, 4)}`]),
        ],
      }}
    >
      {(width) => <Plot traces={traces} levels={levels} iterations={iterations} changes={changes} width={width} />}
    </ChartFrame>
  )
}

function cells({ points }: Trace, iteration: number, changes: boolean): string[] {
  const point = points.find((one) => one.iteration === iteration)
  const value = point ? `${figure(point.value, 4)}${point.relaxed ? ', relaxed' : ''}` : ''
  return changes ? [value, point && point.changed !== null ? format.share(point.changed) : ''] : [value]
}

function drawn({ runs }: JobView, name: string): { traces: Trace[]; levels: Level[]; aimed: boolean } {
  const known = runs.flatMap(({ id: run, label, layers }) => {
    const layer = layers.find((one) => one.name === name)
    return layer ? [{ run, label, layer }] : []
  })
  const traces = known.flatMap(({ run, label, layer: { objective } }) => {
    if (!objective) return []
    const { iterations, values, relaxed, changed } = objective
    const points = iterations.map((iteration, i) => ({
      iteration,
      value: values[i],
      relaxed: relaxed.includes(iteration),
      changed: changed?.[i] ?? null,
    }))
    return [{ run, label, points }]
  })
  const levels = known.flatMap(({ run, label, layer }) => (layer.objective ? [] : [{ run, label, value: layer.relativeError }]))
  return { traces, levels, aimed: known.some(({ layer }) => layer.objective && layer.aim) }
}

interface PlotProps {
  traces: Trace[]
  levels: Level[]
  iterations: number[]
  changes: boolean
  width: number
}

function Plot({ traces, levels, iterations, changes, width }: PlotProps) {
  const scale = logScale([...traces.flatMap(({ points }) => points.map(({ value }) => value)), ...levels.map(({ value }) => value)])
  const [low, high] = scale.domain.map(Math.log)
  const [first, last] = [iterations[0], Math.max(iterations.at(-1)!, iterations[0] + 1)]
  const x = (iteration: number) => edge.left + ((iteration - first) / (last - first)) * (width - edge.left - edge.right)
  const y = (value: number) =>
    edge.top + (1 - (Math.log(value) - low) / (high - low)) * (heights.objective - edge.top - (changes ? 10 : edge.bottom))
  const height = heights.objective + (changes ? heights.changed : 0)
  return (
    <svg data-plot width={width} height={height} fontSize={12} role="img" aria-label="Objective by sweep">
      <Ticks ticks={scale.ticks} place={y} show={format.tick} width={width} />
      <Sweeps first={first} last={last} place={x} top={height - 18} width={width} />
      {levels.map(({ run, label, value }) => (
        <g key={run} data-run={run}>
          <title>{`${label}: ${figure(value)}`}</title>
          {value > 0 && (
            <path d={`M${edge.left} ${y(value)}H${width - edge.right}`} stroke={runColour(run)} strokeDasharray="5 4" strokeWidth={1.5} />
          )}
        </g>
      ))}
      {traces.map((trace) => (
        <Line key={trace.run} trace={trace} x={x} y={y} />
      ))}
      {changes && <Changes traces={traces} x={x} top={heights.objective} width={width} />}
    </svg>
  )
}

function Ticks({
  ticks,
  place,
  show,
  width,
}: {
  ticks: number[]
  place: (value: number) => number
  show: (value: number) => string
  width: number
}) {
  return (
    <g fill="var(--muted)">
      {ticks.map((tick) => (
        <g key={tick}>
          <path d={`M${edge.left} ${place(tick)}H${width - edge.right}`} stroke="var(--grid)" />
          <text x={edge.left - 6} y={place(tick) + 4} textAnchor="end">
            {show(tick)}
          </text>
        </g>
      ))}
    </g>
  )
}

/** Sweeps are counted from 1. */
function Sweeps({
  first,
  last,
  place,
  top,
  width,
}: {
  first: number
  last: number
  place: (iteration: number) => number
  top: number
  width: number
}) {
  const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, Math.floor((width - edge.left) / 40))))
  const shown = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter((i) => (i - first) % every === 0)
  return (
    <g fill="var(--muted)" textAnchor="middle">
      {shown.map((iteration) => (
        <text key={iteration} x={place(iteration)} y={top}>
          {iteration + 1}
        </text>
      ))}
      <text x={(edge.left + width - edge.right) / 2} y={top + 15}>
        Sweep
      </text>
    </g>
  )
}

interface LineProps {
  trace: Trace
  x: (iteration: number) => number
  y: (value: number) => number
}

/** A log axis has no place for zero: such points stay in the table. */
function Line({ trace: { run, label, points }, x, y }: LineProps) {
  const above = points.filter(({ value }) => value > 0)
  const marked = above.length <= 60
  return (
    <g data-run={run}>
      <path
        d={pathOf(above.map(({ iteration, value }) => [x(iteration), y(value)]))}
        fill="none"
        stroke={runColour(run)}
        strokeWidth={1.5}
      />
      {marked &&
        above.map(({ iteration, value, relaxed, changed }) => (
          <g key={iteration} transform={`translate(${x(iteration)} ${y(value)})`}>
            <title>{`${label}, sweep ${iteration + 1}: ${figure(value, 4)}${relaxed ? ', relaxed' : ''}${changed === null ? '' : `; ${format.share(changed)} of the codes changed`}`}</title>
            <path
              d={runShape(run)}
              transform="scale(0.7)"
              fill={relaxed ? 'var(--surface)' : runColour(run)}
              stroke={runColour(run)}
              strokeWidth={relaxed ? 1.8 : 0}
            />
          </g>
        ))}
    </g>
  )
}

const pathOf = (points: [number, number][]) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')

/** Shares of the codes that sweeps changed, of those that began on the grid. */
function Changes({ traces, x, top, width }: { traces: Trace[]; x: LineProps['x']; top: number; width: number }) {
  const shares = traces.flatMap(({ points }) => points.flatMap(({ changed }) => (changed === null ? [] : [changed])))
  const { domain, ticks } = linearScale(shares, 0)
  const height = heights.changed - edge.bottom - 22
  const y = (share: number) => top + 22 + (1 - share / domain[1]) * height
  return (
    <>
      <text x={edge.left} y={top + 12} fill="var(--muted)">
        Share of codes that a sweep changed
      </text>
      <Ticks ticks={[0, ticks.at(-1)!]} place={y} show={format.share} width={width} />
      {traces.map(({ run, points }) => {
        const told = points.flatMap(({ iteration, changed }) => (changed === null ? [] : [[x(iteration), y(changed)] as [number, number]]))
        return (
          <g key={run} data-run={run} fill={runColour(run)}>
            <path d={pathOf(told)} fill="none" stroke={runColour(run)} strokeWidth={1.5} />
            {told.map(([cx, cy]) => (
              <path key={cx} d={runShape(run)} transform={`translate(${cx} ${cy}) scale(0.6)`} />
            ))}
          </g>
        )
      })}
    </>
  )
}
