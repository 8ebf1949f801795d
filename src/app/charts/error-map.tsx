/**
 * The error map: relative error of each linear as colour, one row per block, one column per linear. Drawn on a canvas, since it may have
 * thousands of cells.
 */
import { useEffect, useId, useMemo, useRef, useState } from 'react'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { Choice, RunMark } from '../panels/controls.tsx'
import type { JobView } from '../reduce.ts'
import { ChartFrame } from './frame.tsx'
import {
  type Cell,
  cellAt,
  cividis,
  columnLabels,
  gridOf,
  inkOn,
  layoutMap,
  type MapGrid,
  type MapLayout,
  mapValues,
  moved,
  position,
  textWidth,
} from './map.ts'
import { colourIn } from './picture.ts'
import { logScale } from './scale.ts'
import './error-map.css'

/** Room below the map for what a cell says. */
const wordsHeight = 44

type Measure = 'error' | 'heldOut' | 'ratio'

const hasHeldOut = (view: JobView) => view.runs.some(({ layers }) => layers.some(({ heldOutError }) => heldOutError !== undefined))

interface Drawing {
  grid: MapGrid
  values: Map<string, number>
  /** Linears that have something unusual said of them. */
  noted: Set<string>
  scale: { domain: [number, number]; ticks: number[] }
  quantity: string
  show: (value: number) => string
  tick: (value: number) => string
}

interface Inks {
  text: string
  muted: string
  line: string
  surface: string
}

export function ErrorMap({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const [picked, setPicked] = useState<string | null>(null)
  const [asked, setMeasure] = useState<Measure>('error')
  const canvas = useRef<HTMLCanvasElement>(null)

  // Until one is chosen, the run that has something to show and was started last.
  const at = Math.max(
    0,
    picked === null ? view.runs.findLastIndex((run) => run.layers.length) : view.runs.findIndex(({ id }) => id === picked),
  )
  const run = view.runs[at]
  const measure = (at === 0 && asked === 'ratio') || (asked === 'heldOut' && !hasHeldOut(view)) ? 'error' : asked
  const drawing = drawingOf(view, at, measure, unit)
  const { grid, values } = drawing
  const height = Math.max(180, Math.min(480, (grid.blocks.length || view.blocks) * 28 + 100))
  const title = `Error map of ${run.label}`
  const labels = columnLabels(grid.modules)

  return (
    <ChartFrame
      title={title}
      legend={[]}
      note={drawing.noted.size ? '!: has notes, see the layer table of the Run step' : undefined}
      controls={<Controls view={view} at={at} measure={measure} onPick={setPicked} onMeasure={setMeasure} />}
      table={{
        columns: ['Block', ...labels],
        rows: grid.names.map((names, row) => [
          String(grid.blocks[row]),
          ...names.map((name) => {
            const value = name === null ? undefined : values.get(name)
            return value === undefined ? '' : `${drawing.show(value)}${drawing.noted.has(name!) ? ' !' : ''}`
          }),
        ]),
      }}
      height={height + wordsHeight}
      empty={values.size ? null : 'One row per block, one column per linear: each cell gets its colour when its linear is solved.'}
      toPng={() => toPng(canvas.current!, drawing, title, height)}
    >
      {(width) => <Heat canvas={canvas} width={width} height={height} drawing={drawing} view={view} run={at} title={title} />}
    </ChartFrame>
  )
}

/** What is drawn of one run. */
function drawingOf(view: JobView, at: number, measure: Measure, unit: format.ErrorUnit): Drawing {
  const run = view.runs[at]
  const first = view.runs[0]
  const grid = gridOf(view.layers)
  const valuesOf = (index: number) => mapValues(view.runs[index].layers, measure === 'ratio' ? first.layers : null, measure === 'heldOut')
  const values = valuesOf(at)
  // One scale for all runs, so that colours can be compared from run to run.
  const all = view.runs.flatMap((_, index) => (measure === 'ratio' && index === 0 ? [1] : [...valuesOf(index).values()]))
  return {
    grid,
    values,
    noted: new Set(run.layers.filter((layer) => layer.notes.length).map(({ name }) => name)),
    scale: logScale(all),
    quantity: {
      error: 'relative error ‖(W−Ŵ)X‖² / ‖WX‖², log scale',
      heldOut: 'relative error on held-out tokens, log scale',
      ratio: `error as a multiple of ${first.label}, log scale`,
    }[measure],
    show: (value) => (measure === 'ratio' ? format.ratio(value) : format.relativeError(value, unit)),
    tick: (value) =>
      measure === 'ratio' ? `×\u202f${value}` : unit === 'scientific' ? format.scientificTick(value) : format.relativeError(value, unit),
  }
}

interface ControlsProps {
  view: JobView
  at: number
  measure: Measure
  onPick: (run: string) => void
  onMeasure: (measure: Measure) => void
}

function Controls({ view, at, measure, onPick, onMeasure }: ControlsProps) {
  const id = useId()
  const run = view.runs[at]
  const first = view.runs[0]
  const heldOut = hasHeldOut(view)
  return (
    <>
      <label className="map-run" htmlFor={`${id}-run`}>
        <RunMark run={run.id} />
        <span className="sr">Run shown in the error map</span>
        <select id={`${id}-run`} className="input" value={run.id} onChange={(event) => onPick(event.target.value)}>
          {view.runs.map(({ id, label }) => (
            <option key={id} value={id}>
              {label}
            </option>
          ))}
        </select>
      </label>
      {(at > 0 || heldOut) && (
        <fieldset className="field">
          <legend className="sr">Quantity shown in the error map</legend>
          <Choice<Measure>
            name={`${id}-measure`}
            value={measure}
            choices={[
              { value: 'error', label: 'Relative error' },
              ...(heldOut ? [{ value: 'heldOut' as const, label: 'Held out' }] : []),
              ...(at > 0 ? [{ value: 'ratio' as const, label: `Ratio to ${first.label}` }] : []),
            ]}
            onChange={onMeasure}
          />
        </fieldset>
      )}
    </>
  )
}

interface MapProps {
  canvas: React.RefObject<HTMLCanvasElement | null>
  width: number
  height: number
  drawing: Drawing
  view: JobView
  run: number
  title: string
}

function Heat({ canvas, width, height, drawing, view, run, title }: MapProps) {
  const { grid } = drawing
  const [cursor, setCursor] = useState<Cell | null>(null)
  const [hovered, setHovered] = useState<Cell | null>(null)
  const [spoken, setSpoken] = useState('')
  const scheme = useScheme()
  const workbench = useWorkbench()
  const open = ({ row, column }: Cell) => {
    const name = grid.names[row][column]
    if (name !== null) workbench.openLinear(name)
  }
  const layout = useMemo(() => layoutMap(width, height, grid), [width, height, grid])

  // biome-ignore lint/correctness/useExhaustiveDependencies: the scheme is what the colours are taken from
  useEffect(() => {
    const element = canvas.current!
    const density = window.devicePixelRatio || 1
    element.width = Math.round(width * density)
    element.height = Math.round(height * density)
    const context = element.getContext('2d')!
    context.scale(density, density)
    draw(context, layout, drawing, inksOf(element))
  }, [canvas, width, height, layout, drawing, scheme])

  const shown = hovered ?? cursor
  const words = shown && describe(shown, drawing, view, run)
  const [low, high] = drawing.scale.domain
  return (
    <div className="map">
      <div
        className="map-area"
        role="application"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move a cursor in it, as the label says
        tabIndex={0}
        aria-label={`${title}: ${drawing.quantity}, from ${drawing.show(low)} to ${drawing.show(high)}. Arrow keys step through the linears.`}
        style={{ height }}
        onKeyDown={(event) => {
          const next = cursor ? moved(event.key, cursor, grid) : event.key.startsWith('Arrow') ? { row: 0, column: 0 } : null
          if (event.key === 'Escape') setCursor(null)
          if (event.key === 'Enter' && cursor) open(cursor)
          if (!next) return
          event.preventDefault()
          setCursor(next)
          setHovered(null)
          setSpoken(describe(next, drawing, view, run))
        }}
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect()
          setHovered(cellAt(event.clientX - box.left, event.clientY - box.top, layout, grid))
        }}
        onPointerLeave={() => setHovered(null)}
        onClick={() => {
          if (!hovered) return
          setCursor(hovered)
          open(hovered)
        }}
      >
        <canvas ref={canvas} style={{ width, height }} />
        {shown && <Cursor cell={shown} layout={layout} />}
      </div>
      <p className="map-words figures" aria-hidden="true">
        {words ?? 'Point at a cell, or move with the arrow keys, to read its value.'}
      </p>
      <p className="sr" role="status">
        {spoken}
      </p>
    </div>
  )
}

function Cursor({ cell, layout }: { cell: Cell; layout: MapLayout }) {
  const place = {
    left: layout.left + cell.column * layout.cellWidth,
    top: layout.top + cell.row * layout.cellHeight,
    width: layout.cellWidth,
    height: layout.cellHeight,
  }
  return <span className="map-cursor" style={place} />
}

function describe({ row, column }: Cell, { grid }: Drawing, view: JobView, run: number): string {
  const name = grid.names[row][column]
  const place = `Block ${grid.blocks[row]}, ${grid.modules[column]}`
  if (name === null) return `${place}: no such linear`
  const layerOf = (index: number) => view.runs[index].layers.find((layer) => layer.name === name)
  const layer = layerOf(run)
  if (!layer) return `${place}: not solved yet`
  const first = run > 0 ? layerOf(0) : undefined
  return [
    `${place}: relative error ${format.relativeError(layer.relativeError, 'scientific')}`,
    layer.heldOutError === undefined ? null : `held out ${format.relativeError(layer.heldOutError, 'scientific')}`,
    first?.relativeError ? `${format.ratio(layer.relativeError / first.relativeError)} ${view.runs[0].label}` : null,
    ...layer.notes.map((note) => `! ${note}`),
  ]
    .filter(Boolean)
    .join(' · ')
}

// ---------------------------------------------------------------- drawing

const font = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'

function inksOf(element: HTMLElement): Inks {
  const ink = (name: string) => colourIn(element.parentElement!, `var(--${name})`)
  return { text: ink('text'), muted: ink('muted'), line: ink('line-strong'), surface: ink('surface') }
}

type Context = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D

function draw(context: Context, layout: MapLayout, drawing: Drawing, inks: Inks) {
  const { left, top, cellWidth, cellHeight } = layout
  const { grid, values, noted, scale, show } = drawing
  context.clearRect(0, 0, layout.width, layout.height)
  context.font = `12px ${font}`
  context.textBaseline = 'middle'
  axes(context, layout, grid, inks)
  grid.names.forEach((names, row) =>
    names.forEach((name, column) => {
      if (name === null) return
      const [x, y] = [left + column * cellWidth, top + row * cellHeight]
      const [w, h] = [cellWidth - 1, cellHeight - 1]
      const value = values.get(name)
      if (value === undefined) {
        context.strokeStyle = inks.line
        context.setLineDash([2, 3])
        context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1)
        context.setLineDash([])
        return
      }
      const colour = cividis(position(value, scale.domain))
      context.fillStyle = `rgb(${colour})`
      context.fillRect(x, y, w, h)
      context.fillStyle = inkOn(colour)
      context.textAlign = 'center'
      const text = show(value)
      if (h >= 14 && textWidth(text) + 4 <= w) context.fillText(text, x + w / 2, y + h / 2)
      if (noted.has(name)) {
        context.font = `600 12px ${font}`
        context.fillText('!', x + w - 7, y + Math.min(9, h / 2))
        context.font = `12px ${font}`
      }
    }),
  )
  legend(context, layout, drawing, inks)
}

function axes(context: Context, { left, top, cellWidth, cellHeight, slanted }: MapLayout, { blocks, modules }: MapGrid, inks: Inks) {
  context.fillStyle = inks.muted
  columnLabels(modules).forEach((label, column) => {
    const x = left + (column + 0.5) * cellWidth
    context.save()
    context.translate(x, top - (slanted ? 6 : 10))
    // Leaning to the left, where the gutter has room for the first of them.
    if (slanted) context.rotate(Math.PI / 4)
    context.textAlign = slanted ? 'right' : 'center'
    context.fillText(label, 0, 0)
    context.restore()
  })
  context.textAlign = 'right'
  const every = Math.ceil(16 / cellHeight)
  blocks.forEach((block, row) => {
    if (row % every === 0) context.fillText(String(block), left - 8, top + (row + 0.5) * cellHeight)
  })
  context.save()
  context.translate(8, top + (blocks.length * cellHeight) / 2)
  context.rotate(-Math.PI / 2)
  context.textAlign = 'center'
  context.fillText('Block', 0, 0)
  context.restore()
}

function legend(context: Context, { left, legendTop, width }: MapLayout, { scale, quantity, tick }: Drawing, inks: Inks) {
  const length = Math.min(320, width - left)
  for (let x = 0; x < length; x++) {
    context.fillStyle = `rgb(${cividis(x / (length - 1))})`
    context.fillRect(left + x, legendTop, 1.5, 8)
  }
  context.fillStyle = inks.muted
  let free = left - 20
  for (const value of new Set([scale.domain[0], ...scale.ticks, scale.domain[1]])) {
    const text = tick(value)
    const half = textWidth(text) / 2
    const x = Math.min(left + length - half, Math.max(left + half, left + length * position(value, scale.domain)))
    if (x - half < free) continue
    free = x + half + 8
    context.textAlign = 'center'
    context.fillText(text, x, legendTop + 18)
  }
  context.textAlign = 'left'
  context.fillText(quantity, left, legendTop + 36, width - left)
}

/** The same drawing under its title, twice as fine. */
function toPng(shown: HTMLCanvasElement, drawing: Drawing, title: string, height: number): Promise<Blob> {
  const [margin, head, scale] = [12, 32, 2]
  const width = shown.clientWidth
  const inks = inksOf(shown)
  const map = new OffscreenCanvas(width * scale, height * scale)
  const mapContext = map.getContext('2d')!
  mapContext.scale(scale, scale)
  draw(mapContext, layoutMap(width, height, drawing.grid), drawing, inks)
  const page = new OffscreenCanvas((width + 2 * margin) * scale, (height + head + margin) * scale)
  const context = page.getContext('2d')!
  context.fillStyle = inks.surface
  context.fillRect(0, 0, page.width, page.height)
  context.drawImage(map, margin * scale, head * scale)
  context.scale(scale, scale)
  context.fillStyle = inks.text
  context.font = `600 14px ${font}`
  context.fillText(title, margin, 20)
  return page.convertToBlob({ type: 'image/png' })
}

/** Changes when the page's colours do. */
function useScheme(): string {
  const theme = useView((state) => state.preferences.theme)
  const [dark, setDark] = useState(() => matchMedia('(prefers-color-scheme: dark)').matches)
  useEffect(() => {
    const query = matchMedia('(prefers-color-scheme: dark)')
    const follow = () => setDark(query.matches)
    query.addEventListener('change', follow)
    return () => query.removeEventListener('change', follow)
  }, [])
  return `${theme} ${dark}`
}
