/** What the runs store against what they lose: error bars, the front joined, full precision as a line. */
import { useId, useState } from 'react'
import { useView } from '../context.ts'
import * as format from '../format.ts'
import { frontOf } from '../judge.ts'
import { runColour, runShape } from '../panels/run-mark.tsx'
import type { JobView, RunView } from '../reduce.ts'
import type { Ran } from '../store/state.ts'
import { sizeOf } from '../sizes.ts'
import { ChartFrame } from './frame.tsx'
import { textWidth } from './map.ts'
import { linearScale, logScale, tickText } from './scale.ts'

interface Quantity {
  label: string
  of: (run: RunView) => number | null
  error: (run: RunView) => number | null
  show: (value: number | null) => string
}

const losses: Record<'kl' | 'perplexity' | 'error', Quantity> = {
  kl: {
    label: 'KL from full precision, nats',
    of: ({ result }) => result?.kl ?? null,
    error: ({ result }) => result?.klSpread?.error ?? null,
    show: format.divergence,
  },
  perplexity: {
    label: 'Perplexity',
    of: ({ result }) => result?.perplexity ?? null,
    error: ({ result }) => result?.perplexityError ?? null,
    show: format.perplexity,
  },
  error: {
    label: 'Mean layer error',
    of: ({ result }) => result?.meanRelativeError ?? null,
    error: () => null,
    show: (value) => format.relativeError(value, 'fraction'),
  },
}

const storages = {
  bits: { label: 'Bits per weight', of: (run: RunView) => run.result?.bitsPerWeight || null, show: format.bitsPerWeight },
  size: {
    label: 'Size, MiB',
    of: (run: RunView, ran: Ran | null) => mib(sizeOf(run, ran)?.bytes),
    show: (x: number) => x.toPrecision(4),
  },
}
const mib = (bytes: number | undefined) => (bytes === undefined ? null : bytes / 2 ** 20)

interface Point {
  run: RunView
  bits: number
  value: number
  error: number
}

export function Pareto({ view }: { view: JobView }) {
  const ran = useView((state) => state.ran)
  const [loss, setLoss] = useState<keyof typeof losses>('kl')
  const [storage, setStorage] = useState<keyof typeof storages>('bits')
  const [y, x] = [losses[loss], storages[storage]]
  const points = view.runs.flatMap((run): Point[] => {
    const [bits, value] = [x.of(run, ran), y.of(run)]
    return run.state !== 'finished' || bits === null || value === null ? [] : [{ run, bits, value, error: y.error(run) ?? 0 }]
  })
  const full = loss === 'perplexity' ? view.fpPerplexity : null
  const values = [...points.map(({ value }) => value), ...(full === null ? [] : [full])]
  const log = loss !== 'perplexity' || Math.max(...values) > 20 * Math.min(...values)
  const plot = { points: log ? points.filter(({ value }) => value > 0) : points, log, full, x, y }
  return (
    <ChartFrame
      title={`${y.label} by ${x.label.toLowerCase().replace('mib', 'MiB')}${log ? ', log scale' : ''}`}
      note={`line: the front${loss === 'error' ? '' : '; bars: standard error'}`}
      controls={
        <>
          <Select label="Loss" value={loss} choices={losses} onChange={setLoss} />
          <Select label="Storage" value={storage} choices={storages} onChange={setStorage} />
        </>
      }
      legend={[]}
      table={() => ({
        columns: ['Run', x.label, y.label, 'Standard error'],
        rows: points.map(({ run, bits, value, error }) => [run.label, x.show(bits), y.show(value), error ? y.show(error) : '–']),
      })}
      height={300}
      empty={points.length ? null : 'One point for each run once it is finished: what it stores, and what it loses.'}
    >
      {(width) => <Plot {...plot} width={width} height={300} />}
    </ChartFrame>
  )
}

interface SelectProps<K extends string> {
  label: string
  value: K
  choices: Record<K, { label: string }>
  onChange: (value: K) => void
}

function Select<K extends string>({ label, value, choices, onChange }: SelectProps<K>) {
  const id = useId()
  return (
    <label className="map-run" htmlFor={id}>
      <span className="sr">{label}</span>
      <select id={id} className="input" value={value} onChange={(event) => onChange(event.target.value as K)}>
        {Object.entries<{ label: string }>(choices).map(([key, choice]) => (
          <option key={key} value={key}>
            {choice.label}
          </option>
        ))}
      </select>
    </label>
  )
}

interface PlotProps {
  points: Point[]
  log: boolean
  full: number | null
  x: { label: string; show: (value: number) => string }
  y: Quantity
  width: number
  height: number
}

const edge = { left: 60, right: 16, top: 12, bottom: 40 }
/** Where the name of the line of full precision begins, from the left edge. */
const fullAt = 12
/** Under a log scale, which has no place for the zero of full precision. */
const zeroHeight = 28

/** From values to pixels. */
function scalesOf({ points, log, full, width, height }: PlotProps) {
  const floor = height - edge.bottom - (full === null && log ? zeroHeight : 0)
  const ends = points.flatMap(({ value, error }) => [value + error, log ? Math.max(value - error, value / 2) : value - error])
  if (full !== null) ends.push(full)
  const down = log ? logScale(ends) : linearScale(ends)
  const along = linearScale(points.map(({ bits }) => bits))
  const turn = log ? Math.log : (value: number) => value
  const [low, high] = down.domain.map(turn)
  const [from, to] = along.domain
  return {
    along,
    down,
    floor,
    left: (bits: number) => edge.left + ((bits - from) / (to - from)) * (width - edge.left - edge.right),
    top: (value: number) =>
      floor - ((Math.max(low, turn(Math.max(value, log ? 1e-300 : value))) - low) / (high - low)) * (floor - edge.top),
  }
}

function Plot(props: PlotProps) {
  const { points, log, full, x, y, width, height } = props
  const scales = scalesOf(props)
  const { left, top } = scales
  const front = frontOf(points)
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is no picture
    <svg data-plot width={width} height={height} fontSize={12} role="group" aria-label={`${y.label} by ${x.label}`}>
      <Axes {...props} scales={scales} />
      {full !== null && <FullPrecision at={top(full)} value={y.show(full)} width={width} />}
      {full === null && log && (
        <>
          {/* The axis is broken between its lowest value and zero. */}
          <path d={`M${edge.left - 5} ${scales.floor + 7}l10-4m-10 8l10-4`} stroke="var(--line-strong)" />
          <FullPrecision at={scales.floor + zeroHeight - 6} value="0" width={width} />
        </>
      )}
      <path
        d={pathOf(front.map(({ bits, value }) => [left(bits), top(value)]))}
        fill="none"
        stroke="var(--line-strong)"
        strokeWidth={1.5}
      />
      {placed(points, scales, width, full === null ? null : top(full)).map((one) => (
        <Mark key={one.point.run.id} {...one} x={x} y={y} top={top} />
      ))}
    </svg>
  )
}

function FullPrecision({ at, value, width }: { at: number; value: string; width: number }) {
  return (
    <g fill="var(--muted)">
      <path d={`M${edge.left} ${at}H${width - edge.right}`} stroke="var(--muted)" strokeDasharray="5 4" strokeWidth={1.5} />
      <text x={edge.left + fullAt} y={at - 4}>
        full precision {value}
      </text>
    </g>
  )
}

type Placed = ReturnType<typeof placed>[number]

/** A run: its bar, its mark and its name. Focus picks it out, as pointing at it does. */
function Mark({ point, at, label, name, x, y, top }: Placed & Pick<PlotProps, 'x' | 'y'> & { top: (value: number) => number }) {
  const { run, bits, value, error } = point
  const told = [`${x.label} ${x.show(bits)}`, `${y.label} ${y.show(value)}${error ? ` ± ${y.show(error)}` : ''}`]
  const focusable = { tabIndex: 0, role: 'img', 'aria-label': `${run.label}: ${told.join(', ')}` }
  return (
    <g data-run={run.id} {...focusable}>
      <title>{[run.label, ...told].join('\n')}</title>
      {error > 0 && <path d={`M${at.x} ${top(value + error)}V${top(value - error)}`} stroke={runColour(run.id)} strokeWidth={1.5} />}
      <path d={runShape(run.id)} transform={`translate(${at.x} ${at.y})`} fill={runColour(run.id)} />
      {/* As large as what is pointed at should be. */}
      <circle cx={at.x} cy={at.y} r={12} fill="transparent" />
      {/* Where the name had to move away from its mark. */}
      {Math.abs(label.y - 4 - at.y) > 8 && (
        <path d={`M${at.x} ${at.y}L${label.x - 2} ${label.y - 4}`} stroke={runColour(run.id)} opacity={0.6} />
      )}
      <text {...label} fill="var(--text)" stroke="var(--surface)" strokeWidth={3} paintOrder="stroke">
        {name}
      </text>
    </g>
  )
}

const pathOf = (places: number[][]) => places.map((place, i) => `${i ? 'L' : 'M'}${place.join(' ')}`).join('')

function Axes({ x, y, width, height, scales }: PlotProps & { scales: ReturnType<typeof scalesOf> }) {
  const { along, down, left, top, floor } = scales
  const text = tickText(down.ticks, y.show)
  return (
    <g fill="var(--muted)">
      {down.ticks.map((tick) => (
        <g key={tick}>
          <path d={`M${edge.left} ${top(tick)}H${width - edge.right}`} stroke="var(--grid)" />
          <text x={edge.left - 8} y={top(tick) + 4} textAnchor="end">
            {text(tick)}
          </text>
        </g>
      ))}
      <path d={`M${edge.left} ${floor}H${width - edge.right}`} stroke="var(--line-strong)" />
      {along.ticks.map((tick) => (
        <text key={tick} x={left(tick)} y={height - edge.bottom + 16} textAnchor="middle">
          {Number(tick.toPrecision(4))}
        </text>
      ))}
      <text x={(edge.left + width - edge.right) / 2} y={height - 6} textAnchor="middle">
        {x.label}
      </text>
    </g>
  )
}

/** Rows away from where a name belongs, in the order they are tried. */
const rows = Array.from({ length: 13 }, (_, i) => (i % 2 ? (i + 1) / 2 : -i / 2))
const rowHeight = 14

/** Names beside their points, moved up or down where one would lie on another, on the line of full precision or on the axis. */
function placed(points: Point[], { left, top, floor }: ReturnType<typeof scalesOf>, width: number, full: number | null) {
  const taken: { from: number; to: number; y: number }[] = []
  if (full !== null) taken.push({ from: edge.left, to: edge.left + fullAt + textWidth('full precision 00.00'), y: full - 4 })
  // Half the plot, so that there is a side with room for it.
  const letters = Math.floor((width - edge.left) / 2 / textWidth('m'))
  return [...points]
    .sort((a, b) => b.value - a.value)
    .map((point) => {
      const at = { x: left(point.bits), y: top(point.value) }
      const { label } = point.run
      const name = label.length > letters ? `${label.slice(0, letters - 1)}…` : label
      const wide = textWidth(name)
      // Behind the mark, or before it where there is no room.
      const from = [at.x + 10, at.x - 10 - wide].find((start) => start >= edge.left && start + wide <= width) ?? width - wide - 2
      const free = (y: number) =>
        y <= floor - 3 &&
        y >= edge.top + 8 &&
        !taken.some((other) => other.from < from + wide && from < other.to && Math.abs(other.y - y) < rowHeight)
      const y = rows.map((row) => at.y + 4 + row * rowHeight).find(free) ?? at.y + 4
      taken.push({ from, to: from + wide, y })
      return { point, at, name, label: { x: from, y } }
    })
}
