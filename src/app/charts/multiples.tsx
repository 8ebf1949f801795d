/** Layer errors as small multiples: a panel for each kind of linear, x = block, one line per run, one scale for all. */
import { useId, useState } from 'react'
import { useView } from '../context.ts'
import type { LayerResult } from '../../engine/job.ts'
import * as format from '../format.ts'
import { runColour, runShape } from '../panels/controls.tsx'
import type { JobView } from '../reduce.ts'
import { ChartFrame } from './frame.tsx'
import { columnLabels, gridOf, type MapGrid, mapValues } from './map.ts'
import { shortName } from './names.ts'
import { logScale } from './scale.ts'

const edge = { left: 56, right: 12, top: 24, bottom: 22 }
const panelHeight = 148
const least = 190

interface Trace {
  run: string
  label: string
  heldOut: boolean
  /** By module path. */
  values: Map<string, number>
}

interface Drawing {
  grid: MapGrid
  traces: Trace[]
  noted: Set<string>
  scale: { domain: [number, number]; ticks: number[] }
  ratio: boolean
  show: (value: number) => string
  tick: (value: number) => string
}

export function LayerErrors({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const [base, setBase] = useState('')
  const drawing = drawingOf(view, unit, base)
  const { grid, traces, noted, ratio, show } = drawing
  const notes = [
    traces.some(({ heldOut }) => heldOut) && 'dashed: on held-out tokens, which the methods did not see',
    noted.size > 0 && '!: has notes, see the layer table of the Run step',
  ].filter(Boolean)
  return (
    <ChartFrame
      title={`Relative error by block, ${ratio ? `as a multiple of ${labelOf(view, base)}` : '‖(W−Ŵ)X‖² / ‖WX‖²'}, log scale`}
      note={notes.join('; ') || undefined}
      controls={<Base view={view} value={base} onChange={setBase} />}
      legend={view.runs.map(({ id, label }) => ({ run: id, label }))}
      table={{
        columns: [
          'Linear',
          ...traces.map(({ label, heldOut }) => (heldOut ? `${label}, held out` : label)),
          ...(noted.size ? ['Notes'] : []),
        ],
        rows: view.layers.map((name) => [
          shortName(name),
          ...traces.map(({ values }) => (values.has(name) ? show(values.get(name)!) : '')),
          ...(noted.size ? [notesOf(view, name)] : []),
        ]),
      }}
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

function notesOf({ runs }: JobView, name: string): string {
  return runs
    .flatMap(({ label, layers }) => (layers.find((layer) => layer.name === name)?.notes ?? []).map((note) => `${label}: ${note}`))
    .join(' ')
}

function drawingOf(view: JobView, unit: format.ErrorUnit, base: string): Drawing {
  const reference = view.runs.find(({ id }) => id === base)?.layers ?? null
  const heldOut = (layers: LayerResult[]) =>
    layers.flatMap(({ heldOutError, ...layer }) => (heldOutError === undefined ? [] : [{ ...layer, relativeError: heldOutError }]))
  const traces = view.runs.flatMap(({ id: run, label, layers }) => [
    { run, label, heldOut: false, values: mapValues(layers, reference) },
    { run, label, heldOut: true, values: mapValues(heldOut(layers), reference && heldOut(reference)) },
  ])
  const drawn = traces.filter(({ heldOut, values }) => !heldOut || values.size)
  const ratio = reference !== null
  const show = (value: number) => (ratio ? format.ratio(value) : format.relativeError(value, unit))
  return {
    grid: gridOf(view.layers),
    traces: drawn,
    noted: new Set(view.runs.flatMap(({ layers }) => layers.filter(({ notes }) => notes.length).map(({ name }) => name))),
    scale: logScale([...drawn.flatMap(({ values }) => [...values.values()]), ...(ratio ? [1] : [])]),
    ratio,
    show,
    tick: ratio || unit !== 'scientific' ? show : format.scientificTick,
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

function Panels({ drawing, width }: { drawing: Drawing; width: number }) {
  const { grid } = drawing
  const columns = columnsIn(width)
  const height = panelHeight * Math.ceil(grid.modules.length / columns)
  return (
    <svg
      data-plot
      width={width}
      height={height}
      fontSize={12}
      role="img"
      aria-label="Relative error by block, a panel for each kind of linear"
    >
      {columnLabels(grid.modules).map((label, column) => (
        <g key={label} transform={`translate(${(column % columns) * (width / columns)} ${Math.floor(column / columns) * panelHeight})`}>
          <Panel drawing={drawing} column={column} label={label} width={width / columns} />
        </g>
      ))}
    </svg>
  )
}

interface PanelProps {
  drawing: Drawing
  column: number
  label: string
  width: number
}

function Panel({ drawing, column, label, width }: PanelProps) {
  const { grid, scale, ratio, traces } = drawing
  const [low, high] = scale.domain.map(Math.log)
  const last = Math.max(1, grid.blocks.length - 1)
  const place = {
    left: (row: number) => edge.left + (row / last) * (width - edge.left - edge.right),
    top: (value: number) => panelHeight - edge.bottom - ((Math.log(value) - low) / (high - low)) * (panelHeight - edge.top - edge.bottom),
  }
  const every = Math.ceil(grid.blocks.length / Math.max(1, Math.floor((width - edge.left) / 32)))
  return (
    <>
      <text x={edge.left} y={14} fill="var(--text)" fontWeight={600}>
        {label}
      </text>
      <g fill="var(--muted)">
        {scale.ticks.map((tick) => (
          <g key={tick}>
            <path d={`M${edge.left} ${place.top(tick)}H${width - edge.right}`} stroke="var(--grid)" />
            <text x={edge.left - 6} y={place.top(tick) + 4} textAnchor="end">
              {drawing.tick(tick)}
            </text>
          </g>
        ))}
        {grid.blocks.map((block, row) =>
          row % every ? null : (
            <text key={block} x={place.left(row)} y={panelHeight - 6} textAnchor="middle">
              {block}
            </text>
          ),
        )}
      </g>
      {ratio && <path d={`M${edge.left} ${place.top(1)}H${width - edge.right}`} stroke="var(--muted)" strokeDasharray="5 4" />}
      {traces.map((trace) => (
        <Line key={`${trace.run} ${trace.heldOut}`} trace={trace} drawing={drawing} column={column} place={place} />
      ))}
    </>
  )
}

interface LineProps {
  trace: Trace
  drawing: Drawing
  column: number
  place: { left: (row: number) => number; top: (value: number) => number }
}

/** A log axis has no place for zero: such points stay in the table. */
function Line({ trace, drawing, column, place }: LineProps) {
  const { run, heldOut, values, label } = trace
  const { grid, noted, show } = drawing
  const points = grid.names.flatMap((names, row) => {
    const name = names[column]
    const value = name === null ? undefined : values.get(name)
    return name !== null && value !== undefined && value > 0 ? [{ name, value, x: place.left(row), y: place.top(value) }] : []
  })
  const marked = grid.blocks.length <= 40 && !heldOut
  return (
    <g data-run={run}>
      <path
        className="trace"
        d={points.map(({ x, y }, i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')}
        fill="none"
        stroke={runColour(run)}
        strokeWidth={1.5}
        strokeDasharray={heldOut ? '4 3' : undefined}
      />
      {marked &&
        points.map(({ name, value, x, y }) => (
          <g key={name} transform={`translate(${x} ${y})`}>
            <title>{`${shortName(name)}\n${label}: ${show(value)}`}</title>
            <path d={runShape(run)} transform="scale(0.8)" fill={runColour(run)} />
            {noted.has(name) && (
              <text
                y={-8}
                textAnchor="middle"
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
        ))}
    </g>
  )
}
