/** A line chart over a numeric axis, one line per run, each with its colour and shape. */
import { Fragment, memo, type ReactNode } from 'react'
import { CartesianGrid, Line, LineChart, ReferenceLine, Tooltip, XAxis, YAxis } from 'recharts'
import { RunMark, runColour, runShape } from '../panels/controls.tsx'
import { classOf } from '../pointing.ts'
import { ChartFrame, type ChartTable } from './frame.tsx'
import { linearScale, logScale, tickText } from './scale.ts'

export interface Series {
  /** Id of the run; null for what belongs to none. */
  run: string | null
  label: string
  points: Point[]
  /** A second line of a run, whose mark in the legend stands for both. */
  dashed?: boolean
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

export const Curves = memo(function Curves(props: CurvesProps) {
  const { title, note, controls, empty, height, series, x, y, reference, table, legend = true } = props
  const drawn = series.filter(({ points }) => points.length)
  const values = drawn.flatMap(({ points }) => points.map((point) => point.y))
  // Room under the line for its label.
  if (reference) values.push(reference.y, y.log ? reference.y * 0.8 : reference.y - 0.2 * (Math.max(...values, reference.y) - reference.y))
  const scale = y.log ? logScale(values) : linearScale(values, y.from)
  return (
    <ChartFrame
      title={y.log ? `${title}, log scale` : title}
      note={note}
      controls={controls}
      legend={legend ? series.flatMap(({ run, label, dashed }) => (run === null || dashed ? [] : { run, label })) : []}
      table={table}
      height={height}
      empty={drawn.length ? null : empty}
    >
      {(width) => <Plot size={{ width, height }} title={title} drawn={drawn} x={x} y={y} scale={scale} reference={reference} />}
    </ChartFrame>
  )
})

interface PlotProps extends Pick<CurvesProps, 'title' | 'x' | 'y' | 'reference'> {
  size: { width: number; height: number }
  drawn: Series[]
  scale: { domain: [number, number]; ticks: number[] }
}

const words = { fill: 'var(--muted)', fontSize: 12 }

function Plot({ size, title, drawn, x, y, scale, reference }: PlotProps) {
  const mark = drawn.every(({ points }) => points.length <= 60) ? 0.9 : 0.5
  return (
    <LineChart
      {...size}
      data={merge(drawn, y.log)}
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
        tick={words}
        stroke="var(--line-strong)"
        label={{ value: x.label, position: 'insideBottom', offset: -10, ...words }}
        interval="preserveStartEnd"
        minTickGap={8}
      />
      <YAxis
        type="number"
        scale={y.log ? 'log' : 'linear'}
        domain={scale.domain}
        ticks={scale.ticks}
        tickFormatter={tickText(scale.ticks, y.tick ?? y.format)}
        tick={words}
        stroke="var(--line-strong)"
        width={60}
        allowDataOverflow
      />
      {reference && <ReferenceLine {...dashes} y={reference.y} label={{ value: reference.label, position: 'insideTopRight', ...words }} />}
      <Tooltip
        isAnimationActive={false}
        cursor={{ stroke: 'var(--line-strong)' }}
        content={({ active, payload }) => active && <Told row={payload?.[0]?.payload} drawn={drawn} x={x} y={y} />}
      />
      {drawn.map((one, i) => lineOf(one, i, mark))}
    </LineChart>
  )
}

const dashes = { stroke: 'var(--muted)', strokeDasharray: '5 4', strokeWidth: 1.5 }

/** The values at one x. */
function Told({ row, drawn, x, y }: { row: Row | undefined } & Pick<PlotProps, 'drawn' | 'x' | 'y'>) {
  if (!row) return null
  return (
    <div className="tooltip">
      <b>{row.name ?? x.name(row.x)}</b>
      {drawn.map(({ run, label }, i) => {
        const value = row[`y${i}`]
        if (typeof value !== 'number') return null
        return (
          <Fragment key={`${run} ${label}`}>
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
}

/** Of a run with its marks; what belongs to none is a plain line. */
function lineOf({ run, label, dashed }: Series, i: number, mark: number) {
  return (
    <Line
      key={`${run} ${label}`}
      className={run === null ? undefined : classOf(run)}
      strokeDasharray={dashed ? '4 3' : undefined}
      dataKey={`y${i}`}
      name={label}
      type="linear"
      isAnimationActive={false}
      connectNulls
      stroke={run === null ? 'var(--text)' : runColour(run)}
      strokeWidth={mark > 0.5 ? 1.5 : 1}
      activeDot={false}
      dot={
        run !== null &&
        (({ cx, cy, payload, key }) => {
          if (typeof cx !== 'number' || typeof cy !== 'number' || payload[`y${i}`] === undefined) return <g key={key} />
          return (
            <g key={key} data-run={run} transform={`translate(${cx} ${cy})`}>
              <Mark run={run} scale={mark} hollow={Boolean(payload[`hollow${i}`])} noted={Boolean(payload[`notes${i}`])} />
            </g>
          )
        })
      }
    />
  )
}

/** A run's own shape, and `!` above where something was noted. */
function Mark({ run, scale, hollow, noted }: { run: string; scale: number; hollow: boolean; noted: boolean }) {
  return (
    <>
      <path
        d={runShape(run)}
        transform={`scale(${scale})`}
        fill={hollow ? 'var(--surface)' : runColour(run)}
        stroke={runColour(run)}
        strokeWidth={hollow ? 1.8 : 0}
      />
      {noted && (
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
    </>
  )
}

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
