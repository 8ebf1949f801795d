/** A line chart over a numeric axis, one line per run, each with its colour, marks and name. */
import { memo, type ReactNode, useMemo, useState } from 'react'
import { pointAt } from '../pointing.ts'
import { ChartFrame, type ChartTable } from './frame.tsx'
import { Axes, Ends, type Frame, leftOf, type Point, Reading, roomForEnds, topOf, Trace } from './plot.tsx'
import { linearScale, logScale, tickText } from './scale.ts'
import './plot.css'

export interface Series {
  /** Id of the run; null for what belongs to none. */
  run: string | null
  label: string
  /** In the order of x. */
  points: Point[]
}

interface CurvesProps {
  title: string
  note?: ReactNode
  controls?: ReactNode
  empty: string
  height: number
  series: Series[]
  /** Reserves the space, and names what is expected, before the first point is there. */
  x: { label: string; domain: [number, number]; ticks?: number[]; format: (value: number) => string; name: (value: number) => string }
  y: { log: boolean; format: (value: number) => string; tick?: (value: number) => string; from?: number }
  reference?: { y: number; label: string }
  table: () => ChartTable
  /** Names of the lines. */
  legend?: boolean
}

export function Curves(props: CurvesProps) {
  const { title, note, controls, empty, height, series, x, y, reference, table, legend = true } = props
  const drawn = series.filter(({ points }) => points.length)
  const values = drawn.flatMap(({ points }) => points.map((point) => point.y))
  // Room under the line for its label.
  if (reference) values.push(reference.y, y.log ? reference.y * 0.8 : reference.y - 0.2 * (Math.max(...values, reference.y) - reference.y))
  const scale = y.log ? logScale(values) : linearScale(values, y.from)
  const named = legend ? series.flatMap(({ run, label, points }) => (run === null ? [] : { run, label, points })) : []
  const ends = named.filter(({ points }) => points.length)
  const roomIn = (width: number) => roomForEnds(ends, width, height - 48)
  return (
    <ChartFrame
      title={y.log ? `${title}, log scale` : title}
      note={note}
      controls={controls}
      legend={(width) => (ends.length === named.length && roomIn(width) ? [] : named)}
      table={table}
      height={height}
      empty={drawn.length ? null : empty}
    >
      {(width) => (
        <Plot size={{ width, height }} title={title} drawn={drawn} ends={ends} room={roomIn(width)} {...{ x, y, scale, reference }} />
      )}
    </ChartFrame>
  )
}

interface PlotProps extends Pick<CurvesProps, 'title' | 'x' | 'y' | 'reference'> {
  size: { width: number; height: number }
  drawn: Series[]
  ends: { run: string; label: string; points: Point[] }[]
  room: number
  scale: { domain: [number, number]; ticks: number[] }
}

/** The same frame as long as all of it is the same. */
function useFrame({ size: { width, height }, x, y, scale, room }: PlotProps): Frame {
  const [from, to] = x.domain
  const [low, high] = scale.domain
  return useMemo(
    () => ({ left: 60, right: width - (room || 12), top: 8, bottom: height - 40, x: [from, to], y: [low, high], log: y.log }),
    [width, height, room, from, to, low, high, y.log],
  )
}

/** Within this many pixels of a line, its run is what is pointed at. */
const near = 16

function Plot(props: PlotProps) {
  const { size, title, drawn, ends, room, x, y, scale, reference } = props
  const frame = useFrame(props)
  const [at, setAt] = useState<number | null>(null)
  const stops = () => [...new Set(drawn.flatMap(({ points }) => points.map((point) => point.x)))].sort((a, b) => a - b)
  const point = (event: React.PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect()
    const [left, top] = [event.clientX - box.left, event.clientY - box.top]
    const stop = nearest(stops(), (one) => Math.abs(leftOf(frame, one) - left))
    setAt(stop)
    const shown = drawn.flatMap(({ run, points }) => points.flatMap((one) => (one.x === stop && run !== null ? [{ run, y: one.y }] : [])))
    const line = nearest(shown, (one) => Math.abs(topOf(frame, one.y) - top))
    pointAt(line && Math.abs(topOf(frame, line.y) - top) < near ? line.run : null)
  }
  const step = (event: React.KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (event.key === 'Escape') setAt(null)
    if (!by) return
    event.preventDefault()
    const all = stops()
    setAt(all[Math.max(0, Math.min(all.length - 1, at === null ? (by > 0 ? 0 : all.length - 1) : all.indexOf(at) + by))])
  }
  const leave = () => {
    setAt(null)
    pointAt(null)
  }
  const rows = at === null ? [] : valuesAt(drawn, at, y.format)
  return (
    <div
      className="plot"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys step through its values, as the label says
      tabIndex={0}
      aria-label={`${title}. Arrow keys step through the values.`}
      onPointerMove={point}
      onPointerLeave={leave}
      onKeyDown={step}
      onBlur={() => setAt(null)}
    >
      <svg data-plot {...size} fontSize={12} aria-hidden="true">
        <Grid frame={frame} x={x} y={y} scale={scale} reference={reference} />
        {drawn.map(({ run, label, points }) => (
          <Trace key={`${run} ${label}`} run={run} points={points} frame={frame} />
        ))}
        {room > 0 && <Ends ends={ends} frame={frame} room={room} />}
        {at !== null && <path pointerEvents="none" d={`M${leftOf(frame, at)} ${frame.top}V${frame.bottom}`} stroke="var(--line-strong)" />}
      </svg>
      {at !== null && <Reading head={x.name(at)} rows={rows} left={leftOf(frame, at)} top={8} width={size.width} />}
      <p className="sr" role="status">
        {at !== null && `${x.name(at)}: ${rows.map(({ label, value }) => `${label} ${value}`).join(', ')}`}
      </p>
    </div>
  )
}

type GridProps = Pick<PlotProps, 'x' | 'y' | 'scale' | 'reference'> & { frame: Frame }

/** The axes, drawn again only when they read otherwise. */
const Grid = memo(
  function Grid({ frame, x, y, scale, reference }: GridProps) {
    const ticks = x.ticks ?? wholeTicks(x.domain)
    return (
      <Axes
        frame={frame}
        x={{ ticks, show: x.format, label: x.label }}
        y={{ ticks: scale.ticks, show: tickText(scale.ticks, y.tick ?? y.format) }}
        reference={reference}
      />
    )
  },
  (a, b) =>
    a.frame === b.frame &&
    a.reference?.y === b.reference?.y &&
    String(a.x.ticks) === String(b.x.ticks) &&
    String(a.scale.ticks) === String(b.scale.ticks),
)

/** About eight whole numbers. */
function wholeTicks([from, to]: [number, number]): number[] {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((each) => (to - from) / each <= 8) ?? 1000
  const first = Math.ceil(from / step) * step
  return Array.from({ length: Math.floor((to - first) / step) + 1 }, (_, i) => first + i * step)
}

const valuesAt = (drawn: Series[], x: number, show: (value: number) => string) =>
  drawn.flatMap(({ run, label, points }) => {
    const found = points.find((point) => point.x === x)
    return found ? [{ run, label, value: show(found.y) }] : []
  })

function nearest<T>(all: T[], distance: (one: T) => number): T | null {
  return all.reduce<T | null>((best, one) => (best === null || distance(one) < distance(best) ? one : best), null)
}
