/** Layer errors as small multiples: a panel for each kind of linear, x = block, one line per run, one scale for all. */
import { memo, useId, useMemo, useRef, useState } from 'react'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { pointAt } from '../pointing.ts'
import type { JobView } from '../reduce.ts'
import { ChartFrame } from './frame.tsx'
import { type Cell, columnLabels, gridOf, type MapGrid, mapValues, moved } from './map.ts'
import { shortName } from './names.ts'
import { Axes, type Frame, leftOf, type Point, Reading, topOf, Trace } from './plot.tsx'
import { logScale } from './scale.ts'
import './plot.css'

const edge = { left: 56, right: 12, top: 24, bottom: 22 }
const panelHeight = 160
const least = 190

interface RunTrace {
  run: string
  label: string
  heldOut: boolean
  /** By module path. */
  values: Map<string, number>
}

interface Drawing {
  grid: MapGrid
  traces: RunTrace[]
  noted: Set<string>
  scale: { domain: [number, number]; ticks: number[] }
  ratio: boolean
  show: (value: number) => string
  tick: (value: number) => string
}

export function LayerErrors({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const [base, setBase] = useState('')
  const grid = useMemo(() => gridOf(view.layers), [view.layers])
  const drawing = { grid, ...drawingOf(view, unit, base) }
  const { traces, noted, ratio, show } = drawing
  const notes = [
    traces.some(({ heldOut }) => heldOut) && 'dotted: on held-out tokens, which the methods did not see',
    noted.size > 0 && '!: has notes, which are told where the linear is opened',
  ].filter(Boolean)
  return (
    <ChartFrame
      title={`Relative error by block, ${ratio ? `as a multiple of ${labelOf(view, base)}` : '‖(W−Ŵ)X‖² / ‖WX‖²'}, log scale`}
      note={notes.join('; ') || undefined}
      controls={<Base view={view} value={ratio ? base : ''} onChange={setBase} />}
      legend={view.runs.map(({ id, label }) => ({ run: id, label }))}
      table={() => ({
        columns: ['Linear', ...traces.map(nameOf), ...(noted.size ? ['Notes'] : [])],
        rows: view.layers.map((name) => [
          shortName(name),
          ...traces.map(({ values }) => (values.has(name) ? show(values.get(name)!) : '')),
          ...(noted.size ? [notesOf(view, name)] : []),
        ]),
      })}
      height={(width) => panelHeight * Math.ceil(Math.max(1, grid.modules.length) / columnsIn(width))}
      empty={
        traces.some(({ values }) => values.size) ? null : 'One panel for each kind of linear: each linear appears here as it is solved.'
      }
    >
      {(width) => <Panels drawing={drawing} width={width} />}
    </ChartFrame>
  )
}

const columnsIn = (width: number) => Math.max(1, Math.min(4, Math.floor(width / least)))
const labelOf = ({ runs }: JobView, id: string) => runs.find((run) => run.id === id)?.label ?? id
const nameOf = ({ label, heldOut }: RunTrace) => (heldOut ? `${label}, held out` : label)

function notesOf({ runs }: JobView, name: string): string {
  return runs
    .flatMap(({ label, layers }) => (layers.find((layer) => layer.name === name)?.notes ?? []).map((note) => `${label}: ${note}`))
    .join(' ')
}

function drawingOf(view: JobView, unit: format.ErrorUnit, base: string): Omit<Drawing, 'grid'> {
  const reference = view.runs.find(({ id }) => id === base)?.layers ?? null
  const traces = view.runs.flatMap(({ id: run, label, layers }) => [
    { run, label, heldOut: false, values: mapValues(layers, reference) },
    { run, label, heldOut: true, values: mapValues(layers, reference, true) },
  ])
  const drawn = traces.filter(({ heldOut, values }) => !heldOut || values.size)
  const ratio = reference !== null
  const show = (value: number) => (ratio ? format.ratio(value) : format.relativeError(value, unit))
  return {
    traces: drawn,
    noted: new Set(view.runs.flatMap(({ layers }) => layers.filter(({ notes }) => notes.length).map(({ name }) => name))),
    scale: logScale([...drawn.flatMap(({ values }) => [...values.values()]), ...(ratio ? [1] : [])]),
    ratio,
    show,
    tick: ratio || unit !== 'fraction' ? show : format.tick,
  }
}

function Base({ view, value, onChange }: { view: JobView; value: string; onChange: (run: string) => void }) {
  const id = useId()
  return (
    <label className="map-run" htmlFor={id}>
      <span className="sr">Errors are shown as</span>
      <select id={id} className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">Relative error</option>
        {view.runs.map(({ id: run, label }) => (
          <option key={run} value={run}>
            Ratio to {label}
          </option>
        ))}
      </select>
    </label>
  )
}

/** Where the panels are; the same object as long as all of it is the same. */
interface Place {
  width: number
  columns: number
  frame: Frame
}

function usePlace({ grid, scale }: Drawing, width: number): Place {
  const columns = columnsIn(width)
  const blocks = grid.blocks.length
  const [low, high] = scale.domain
  return useMemo(() => {
    const x: [number, number] = [0, Math.max(1, blocks - 1)]
    const frame = { ...edge, right: width / columns - edge.right, bottom: panelHeight - edge.bottom, x, y: [low, high], log: true } as Frame
    return { width, columns, frame }
  }, [width, columns, blocks, low, high])
}

/** Of a panel: its upper left corner. */
const cornerOf = ({ width, columns }: Place, column: number) => ({
  x: (column % columns) * (width / columns),
  y: Math.floor(column / columns) * panelHeight,
})

function Panels({ drawing, width }: { drawing: Drawing; width: number }) {
  const { grid } = drawing
  const workbench = useWorkbench()
  const place = usePlace(drawing, width)
  const [at, setAt] = useState<Cell | null>(null)
  // Where the keyboard was, for when the focus comes back from the drawer.
  const last = useRef<Cell | null>(null)
  const open = (run: string | null) => {
    const name = at && grid.names[at.row][at.column]
    if (name) workbench.openLinear(name, run)
  }
  const nearest = (event: React.MouseEvent) => {
    const box = event.currentTarget.getBoundingClientRect()
    return nearestTo(drawing, place, event.clientX - box.left, event.clientY - box.top)
  }
  const leave = () => {
    setAt(null)
    pointAt(null)
  }
  return (
    <div
      className="plot"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys step through its values, as the label says
      tabIndex={0}
      aria-label="Relative error by block, a panel for each kind of linear. Arrow keys step through the linears; Enter opens one."
      onPointerMove={(event) => {
        const found = nearest(event)
        setAt(found?.cell ?? null)
        pointAt(found?.run ?? null)
      }}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={(event) => open(nearest(event)?.run ?? null)}
      onKeyDown={(event) => {
        // Blocks run to the right here, kinds of linears downwards.
        const turned = { ArrowLeft: 'ArrowUp', ArrowRight: 'ArrowDown', ArrowUp: 'ArrowLeft', ArrowDown: 'ArrowRight' }[event.key]
        if (event.key === 'Enter') {
          // Else the same press would be a click on what has the focus then: the drawer's Close.
          event.preventDefault()
          open(null)
        }
        if (event.key === 'Escape') setAt(null)
        if (!turned) return
        event.preventDefault()
        last.current = at ? moved(turned, at, grid) : { row: 0, column: 0 }
        setAt(last.current)
      }}
      onFocus={(event) => event.currentTarget.matches(':focus-visible') && setAt(last.current)}
    >
      <Curves drawing={drawing} place={place} at={at} />
      {at && <Values drawing={drawing} place={place} at={at} />}
    </div>
  )
}

/** All panels, with a line through the cursor's. */
function Curves({ drawing, place, at }: { drawing: Drawing; place: Place; at: Cell | null }) {
  const { grid, traces } = drawing
  const height = panelHeight * Math.ceil(grid.modules.length / place.columns)
  return (
    <svg data-plot width={place.width} height={height} fontSize={12} aria-hidden="true">
      {columnLabels(grid.modules).map((label, column) => {
        const { x, y } = cornerOf(place, column)
        return (
          <g key={label} transform={`translate(${x} ${y})`}>
            <Ground place={place} label={label} blocks={grid.blocks} ticks={drawing.scale.ticks} {...drawing} />
            {traces.map((trace) => (
              <Trace
                key={`${trace.run} ${trace.heldOut}`}
                run={trace.run}
                points={pointsOf(trace, drawing, column)}
                frame={place.frame}
                heldOut={trace.heldOut}
              />
            ))}
            {at?.column === column && <Upright frame={place.frame} row={at.row} />}
          </g>
        )
      })}
    </svg>
  )
}

const Upright = ({ frame, row }: { frame: Frame; row: number }) => (
  <path pointerEvents="none" d={`M${leftOf(frame, row)} ${frame.top}V${frame.bottom}`} stroke="var(--line-strong)" />
)

/** A linear with notes has its sign once, above the highest of its lines. */
function pointsOf({ values }: RunTrace, { grid, noted, traces }: Drawing, column: number): Point[] {
  const highest = (name: string, y: number) => traces.every((other) => (other.values.get(name) ?? 0) <= y)
  return grid.names.flatMap((names, x) => {
    const name = names[column]
    const y = name === null ? undefined : values.get(name)
    return name === null || y === undefined ? [] : [{ x, y, noted: noted.has(name) && highest(name, y) }]
  })
}

interface GroundProps {
  place: Place
  label: string
  blocks: number[]
  ticks: number[]
  ratio: boolean
  tick: (value: number) => string
}

/** Name and axes of a panel, drawn again only when they read otherwise. */
const Ground = memo(
  function Ground({ place: { frame }, label, blocks, ticks, ratio, tick }: GroundProps) {
    return (
      <>
        <text x={edge.left} y={14} fill="var(--text)" fontWeight={600}>
          {label}
        </text>
        <Axes
          frame={frame}
          x={{ ticks: blocks.map((_, row) => row), show: (row) => String(blocks[row]) }}
          y={{ ticks, show: tick }}
          reference={ratio ? { y: 1 } : undefined}
        />
      </>
    )
  },
  (a, b) =>
    a.place === b.place &&
    a.label === b.label &&
    a.blocks === b.blocks &&
    a.ratio === b.ratio &&
    // Also says in which unit.
    a.ticks.map(a.tick).join() === b.ticks.map(b.tick).join(),
)

/** The linear under the pointer, and the run whose line is nearest there. */
function nearestTo({ grid, traces }: Drawing, place: Place, x: number, y: number): { cell: Cell; run: string | null } | null {
  const { width, columns, frame } = place
  const column = Math.floor(y / panelHeight) * columns + Math.floor(x / (width / columns))
  const corner = cornerOf(place, column)
  const spacing = (frame.right - frame.left) / (frame.x[1] - frame.x[0])
  const row = Math.round((x - corner.x - frame.left) / spacing)
  const name = grid.names[row]?.[column]
  if (!name) return null
  const lines = traces.flatMap(({ run, values }) => {
    const value = values.get(name)
    return value && value > 0 ? [{ run, away: Math.abs(topOf(frame, value) - (y - corner.y)) }] : []
  })
  const nearest = lines.sort((a, b) => a.away - b.away)[0]
  return { cell: { row, column }, run: nearest && nearest.away < 16 ? nearest.run : null }
}

function Values({ drawing, place, at }: { drawing: Drawing; place: Place; at: Cell }) {
  const { grid, traces, noted, show } = drawing
  const name = grid.names[at.row][at.column]
  if (name === null) return null
  const corner = cornerOf(place, at.column)
  const rows = traces.flatMap((trace) => {
    const value = trace.values.get(name)
    return value === undefined ? [] : [{ run: trace.run, label: nameOf(trace), value: show(value) }]
  })
  const head = `${shortName(name)}${noted.has(name) ? ' !' : ''}`
  return (
    <>
      <Reading head={head} rows={rows} left={corner.x + leftOf(place.frame, at.row)} top={corner.y + edge.top} width={place.width} />
      <p className="sr" role="status">
        {head}: {rows.map(({ label, value }) => `${label} ${value}`).join(', ')}
      </p>
    </>
  )
}
