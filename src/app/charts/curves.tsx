/** Lines over a numeric axis, one per run, each with its colour and shape. The one way this page draws a chart. */
import { memo, type ReactNode } from 'react'
import { CartesianGrid, Line, LineChart, ReferenceLine, Tooltip, XAxis, YAxis } from 'recharts'
import { runColour, runShape } from '../panels/controls.tsx'
import { ChartFrame, type ChartTable } from './frame.tsx'

export interface Series {
  /** Position of the run in the job; null for what belongs to no run. */
  index: number | null
  label: string
  points: Point[]
}

export interface Point {
  x: number
  y: number
  /** Drawn hollow: different in kind, as the title or note says. */
  hollow?: boolean
  /** First line of the tooltip, where the x value alone says too little. */
  name?: string
}

interface CurvesProps {
  title: string
  note?: ReactNode
  empty: string
  height: number
  series: Series[]
  /** Reserves the space, and names what is expected, before the first point is there. */
  x: { label: string; domain: [number, number]; ticks?: number[]; format: (value: number) => string; name: (value: number) => string }
  y: { log: boolean; format: (value: number) => string; tick?: (value: number) => string; from?: number }
  reference?: { y: number; label: string }
  table: ChartTable
  /** Legend even with a single series. */
  legend?: boolean
}

type Row = { x: number; name?: string } & Record<string, number | boolean | string | undefined>

export const Curves = memo(function Curves({ title, note, empty, height, series, x, y, reference, table, legend = true }: CurvesProps) {
  const drawn = series.filter(({ points }) => points.length)
  const values = drawn.flatMap(({ points }) => points.map((point) => point.y))
  // Room under the line for its label.
  if (reference) values.push(reference.y, y.log ? reference.y * 0.8 : reference.y - 0.2 * (Math.max(...values, reference.y) - reference.y))
  const scale = y.log ? logScale(values) : linearScale(values, y.from)
  const rows = merge(drawn, y.log)
  const size = drawn.every(({ points }) => points.length <= 60) ? 0.9 : 0.5

  return (
    <ChartFrame
      title={y.log ? `${title}, log scale` : title}
      note={note}
      legend={legend ? series.filter((each) => each.index !== null).map(({ index, label }) => ({ index: index!, label })) : []}
      table={table}
      height={height}
      empty={drawn.length ? null : empty}
    >
      {(width) => (
        <LineChart
          width={width}
          height={height}
          data={rows}
          margin={{ top: 8, right: 12, bottom: 16, left: 0 }}
          aria-label={`${title}. Arrow keys step through the values.`}
        >
          <CartesianGrid stroke="var(--grid)" vertical={false} />
          <XAxis
            dataKey="x"
            type="number"
            domain={x.domain}
            ticks={x.ticks}
            tickFormatter={x.format}
            tick={{ fill: 'var(--muted)', fontSize: 12 }}
            stroke="var(--line-strong)"
            label={{ value: x.label, position: 'insideBottom', offset: -10, fill: 'var(--muted)', fontSize: 12 }}
            interval="preserveStartEnd"
            minTickGap={8}
          />
          <YAxis
            type="number"
            scale={y.log ? 'log' : 'linear'}
            domain={scale.domain}
            ticks={scale.ticks}
            tickFormatter={y.tick ?? y.format}
            tick={{ fill: 'var(--muted)', fontSize: 12 }}
            stroke="var(--line-strong)"
            width={60}
            allowDataOverflow
          />
          {reference && (
            <ReferenceLine
              y={reference.y}
              stroke="var(--muted)"
              strokeDasharray="5 4"
              strokeWidth={1.5}
              label={{ value: reference.label, position: 'insideTopRight', fill: 'var(--muted)', fontSize: 12 }}
            />
          )}
          <Tooltip
            isAnimationActive={false}
            cursor={{ stroke: 'var(--line-strong)' }}
            content={({ active, payload }) => {
              const row = payload?.[0]?.payload as Row | undefined
              if (!active || !row) return null
              return (
                <div className="tooltip">
                  <b>{row.name ?? x.name(row.x)}</b>
                  {drawn.map(({ index, label }, i) => {
                    const value = row[`y${i}`]
                    if (typeof value !== 'number') return null
                    return (
                      <div key={label} className="tooltip-row">
                        {index !== null && (
                          <svg viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">
                            <path d={runShape(index)} fill={runColour(index)} />
                          </svg>
                        )}
                        <span>{label}</span>
                        <span className="figures">{y.format(value)}</span>
                      </div>
                    )
                  })}
                </div>
              )
            }}
          />
          {drawn.map(({ index, label }, i) => (
            <Line
              key={`${index}${label}`}
              dataKey={`y${i}`}
              name={label}
              type="linear"
              isAnimationActive={false}
              connectNulls
              stroke={index === null ? 'var(--text)' : runColour(index)}
              strokeWidth={size > 0.5 ? 1.5 : 1}
              activeDot={false}
              dot={
                index === null
                  ? false
                  : ({ cx, cy, payload, key }) => {
                      if (typeof cx !== 'number' || typeof cy !== 'number' || payload[`y${i}`] === undefined) return <g key={key} />
                      const hollow = payload[`hollow${i}`]
                      return (
                        <path
                          key={key}
                          d={runShape(index)}
                          transform={`translate(${cx} ${cy}) scale(${size})`}
                          fill={hollow ? 'var(--surface)' : runColour(index)}
                          stroke={runColour(index)}
                          strokeWidth={hollow ? 1.8 : 0}
                        />
                      )
                    }
              }
            />
          ))}
        </LineChart>
      )}
    </ChartFrame>
  )
})

/** One row per x. A log axis has no place for zero: such points stay in the table. */
function merge(series: Series[], log: boolean): Row[] {
  const rows = new Map<number, Row>()
  series.forEach(({ points }, i) => {
    for (const point of points) {
      const row: Row = rows.get(point.x) ?? { x: point.x, name: point.name }
      if (!log || point.y > 0) row[`y${i}`] = point.y
      if (point.hollow) row[`hollow${i}`] = true
      rows.set(point.x, row)
    }
  })
  return [...rows.values()].sort((a, b) => a.x - b.x)
}

/** Whole steps of 1, 2, 5 around the values, with as many ticks as stay legible. */
function logScale(values: number[]): { domain: [number, number]; ticks: number[] } {
  const positive = values.filter((value) => value > 0)
  const low = Math.min(...positive)
  const high = Math.max(...positive)
  if (!positive.length) return { domain: [0.01, 1], ticks: [0.01, 0.1, 1] }
  const all: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of [1, 2, 5]) all.push(Number(`${step}e${power}`))
  }
  const from = all.findLastIndex((tick) => tick <= low * 0.98)
  const to = all.findIndex((tick) => tick >= high * 1.02)
  const steps = all.slice(Math.max(0, from), to < 0 ? undefined : to + 1)
  const decades = steps.filter((tick) => /^1e|^1$|^10*$|^0\.0*1$/.test(String(tick)))
  return { domain: [steps[0], steps.at(-1)!], ticks: steps.length > 7 && decades.length > 1 ? decades : steps }
}

function linearScale(values: number[], from?: number): { domain: [number, number]; ticks: number[] } {
  if (!values.length) return { domain: [0, 1], ticks: [0, 1] }
  let low = from ?? Math.min(...values)
  let high = Math.max(...values)
  if (high <= low) {
    const around = Math.abs(low) * 0.1 || 1
    high = low + around
    if (from === undefined) low -= around
  }
  const raw = (high - low) / 4
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= raw)!
  const first = Math.floor(low / step)
  const ticks = Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
  return { domain: [ticks[0], ticks.at(-1)!], ticks }
}
