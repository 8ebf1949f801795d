/** A line chart over a numeric axis, one line per run, each with its colour and shape. */
import { Fragment, memo, type ReactNode } from 'react'
import { CartesianGrid, Line, LineChart, ReferenceLine, Tooltip, XAxis, YAxis } from 'recharts'
import { RunMark, runColour, runShape } from '../panels/controls.tsx'
import { ChartFrame, type ChartTable } from './frame.tsx'
import { linearScale, logScale } from './scale.ts'

export interface Series {
  /** Id of the run; null for what belongs to none. */
  run: string | null
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
  /** Something unusual about it: marked by a sign above the point, and said in the tooltip. */
  notes?: string[]
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
  table: ChartTable
  /** Legend even with a single series. */
  legend?: boolean
}

type Row = { x: number; name?: string } & Record<string, number | boolean | string | string[] | undefined>

export const Curves = memo(function Curves({
  title,
  note,
  controls,
  empty,
  height,
  series,
  x,
  y,
  reference,
  table,
  legend = true,
}: CurvesProps) {
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
      controls={controls}
      legend={legend ? series.flatMap(({ run, label }) => (run === null ? [] : { run, label })) : []}
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
                  {drawn.map(({ run, label }, i) => {
                    const value = row[`y${i}`]
                    if (typeof value !== 'number') return null
                    return (
                      <Fragment key={run}>
                        <div className="tooltip-row">
                          {run !== null && <RunMark run={run} />}
                          <span>{label}</span>
                          <span className="figures">{y.format(value)}</span>
                        </div>
                        {(row[`notes${i}`] as string[] | undefined)?.map((note) => (
                          <div key={note} className="tooltip-note">
                            ! {note}
                          </div>
                        ))}
                      </Fragment>
                    )
                  })}
                </div>
              )
            }}
          />
          {drawn.map(({ run, label }, i) => (
            <Line
              key={run}
              dataKey={`y${i}`}
              name={label}
              type="linear"
              isAnimationActive={false}
              connectNulls
              stroke={run === null ? 'var(--text)' : runColour(run)}
              strokeWidth={size > 0.5 ? 1.5 : 1}
              activeDot={false}
              dot={
                run === null
                  ? false
                  : ({ cx, cy, payload, key }) => {
                      if (typeof cx !== 'number' || typeof cy !== 'number' || payload[`y${i}`] === undefined) return <g key={key} />
                      const hollow = payload[`hollow${i}`]
                      return (
                        <g key={key} transform={`translate(${cx} ${cy})`}>
                          <path
                            d={runShape(run)}
                            transform={`scale(${size})`}
                            fill={hollow ? 'var(--surface)' : runColour(run)}
                            stroke={runColour(run)}
                            strokeWidth={hollow ? 1.8 : 0}
                          />
                          {payload[`notes${i}`] && (
                            <text
                              y={-8}
                              textAnchor="middle"
                              fontSize={12}
                              fontWeight={600}
                              fill="var(--text)"
                              stroke="var(--surface)"
                              strokeWidth={3}
                              paintOrder="stroke"
                            >
                              !
                            </text>
                          )}
                        </g>
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
      if (point.notes?.length) row[`notes${i}`] = point.notes
      rows.set(point.x, row)
    }
  })
  return [...rows.values()].sort((a, b) => a.x - b.x)
}
