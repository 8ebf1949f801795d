/** One map on a canvas, its cursor, and the legend of its colours. */
import { memo, useEffect, useMemo, useRef, useState } from 'react'
import { useView } from '../context.ts'
import {
  type Cell,
  cellAt,
  columnLabels,
  inkOn,
  layoutMap,
  type MapGrid,
  type MapLayout,
  moved,
  position,
  type Scale,
  textWidth,
} from './map.ts'
import { colourIn } from './picture.ts'
import { Reading } from './plot.tsx'

export interface Tile {
  /** Null for what belongs to no single run. */
  run: string | null
  label: string
  grid: MapGrid
  /** By module path. */
  values: Map<string, number>
  /** Linears that have something unusual said of them. */
  noted: Set<string>
  scale: Scale
  colour: (t: number) => [number, number, number]
  show: (value: number) => string
  tick: (value: number) => string
}

interface Told {
  head: string
  rows: { run: string | null; label: string; value: string }[]
  notes: string[]
}

interface HeatProps {
  tile: Tile
  width: number
  height: number
  cursor: Cell | null
  /** What is said of the linear at the cursor. */
  told: () => Told | null
  toLeft: boolean
  onMove: (cell: Cell | null) => void
  onOpen: (cell: Cell) => void
}

export function Heat({ tile, width, height, cursor, told, toLeft, onMove, onOpen }: HeatProps) {
  const { grid } = tile
  const [active, setActive] = useState(false)
  // Where the keyboard was, for when the focus comes back from the drawer.
  const last = useRef<Cell | null>(null)
  const layout = useMemo(() => layoutMap(width, height, grid), [width, height, grid])
  const cellOf = (event: React.MouseEvent) => {
    const box = event.currentTarget.getBoundingClientRect()
    return cellAt(event.clientX - box.left, event.clientY - box.top, layout, grid)
  }
  const leave = () => {
    setActive(false)
    onMove(null)
  }
  const said = active ? told() : null
  return (
    <div
      className="map-area"
      role="application"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move a cursor in it, as the label says
      tabIndex={0}
      aria-label={`Map of ${tile.label}. Arrow keys step through the linears; Enter opens one.`}
      style={{ height }}
      onKeyDown={(event) =>
        pressed(event, cursor, grid, {
          leave,
          open: onOpen,
          move(next) {
            last.current = next
            setActive(true)
            onMove(next)
          },
        })
      }
      onFocus={(event) => {
        if (!last.current || !event.currentTarget.matches(':focus-visible')) return
        setActive(true)
        onMove(last.current)
      }}
      onPointerMove={(event) => {
        const cell = cellOf(event)
        setActive(cell !== null)
        if (cell?.row !== cursor?.row || cell?.column !== cursor?.column) onMove(cell)
      }}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={(event) => {
        const cell = cellOf(event)
        if (cell) onOpen(cell)
      }}
    >
      <Picture tile={tile} layout={layout} />
      {cursor && <Cursor cell={cursor} layout={layout} />}
      {said && cursor && (
        <Reading
          {...said}
          left={layout.left + (cursor.column + (toLeft ? 0 : 1)) * layout.cellWidth}
          top={layout.top + (cursor.row + 1) * layout.cellHeight + 6}
          width={width}
          before={toLeft}
        />
      )}
      <p className="sr" role="status">
        {said && [said.head, ...said.rows.map(({ label, value }) => `${label} ${value}`), ...said.notes].join(', ')}
      </p>
    </div>
  )
}

/** What a key does with the cursor. */
function pressed(
  event: React.KeyboardEvent,
  cursor: Cell | null,
  grid: MapGrid,
  { leave, open, move }: { leave: () => void; open: (cell: Cell) => void; move: (next: Cell) => void },
) {
  const next = cursor ? moved(event.key, cursor, grid) : event.key.startsWith('Arrow') ? { row: 0, column: 0 } : null
  if (event.key === 'Escape') leave()
  const opens = event.key === 'Enter' && cursor
  // Else the same press would be a click on what has the focus then: the drawer's Close.
  if (opens || next) event.preventDefault()
  if (opens) open(cursor)
  if (next) move(next)
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

/** Whether values are drawn alike in both. */
const alike = (a: Tile, b: Tile) =>
  a.grid === b.grid &&
  a.colour === b.colour &&
  String(a.scale.domain) === String(b.scale.domain) &&
  // Also says in which unit.
  a.tick(1) === b.tick(1)

const differs = (a: Tile, b: Tile, name: string) => a.values.get(name) !== b.values.get(name) || a.noted.has(name) !== b.noted.has(name)

const same = (a: Tile, b: Tile) =>
  alike(a, b) && a.values.size === b.values.size && !a.grid.names.some((names) => names.some((name) => name && differs(a, b, name)))

/** Only cells that are different are drawn again, unless all of them are. */
const Picture = memo(
  function Picture({ tile, layout }: { tile: Tile; layout: MapLayout }) {
    const canvas = useRef<HTMLCanvasElement>(null)
    const scheme = useScheme()
    const drawn = useRef<{ tile: Tile; layout: MapLayout; scheme: string } | null>(null)
    useEffect(() => {
      const element = canvas.current!
      const before = drawn.current
      drawn.current = { tile, layout, scheme }
      const inks = inksIn(scheme, element)
      const numbered = (one: Tile) => showsNumbers(one, layout)
      const cellsOnly = before?.layout === layout && before.scheme === scheme && alike(before.tile, tile)
      if (cellsOnly && numbered(before.tile) === numbered(tile))
        drawCells(element.getContext('2d')!, layout, tile, inks, (name) => differs(before.tile, tile, name))
      else draw(fresh(element, layout.width, layout.height), layout, tile, inks)
    }, [layout, tile, scheme])
    return <canvas ref={canvas} style={{ width: layout.width, height: layout.height }} />
  },
  (a, b) => a.layout === b.layout && same(a.tile, b.tile),
)

/** The colours of a map with their values. */
export const Legend = memo(
  function Legend({ tile, words, width: most }: { tile: Tile; words: string; width: number }) {
    const canvas = useRef<HTMLCanvasElement>(null)
    const scheme = useScheme()
    const width = Math.min(legendWidth, most)
    useEffect(() => {
      drawLegend(fresh(canvas.current!, width, 26), tile, width, inksIn(scheme, canvas.current!))
    }, [tile, width, scheme])
    return (
      <div className="map-legend">
        <canvas ref={canvas} style={{ width, height: 26 }} />
        <p className="map-words">
          {words}
          <span className="sr">
            : from {tile.show(tile.scale.domain[0])} to {tile.show(tile.scale.domain[1])}
          </span>
        </p>
      </div>
    )
  },
  (a, b) => a.words === b.words && a.width === b.width && alike(a.tile, b.tile),
)

// ---------------------------------------------------------------- drawing

const legendWidth = 320
const font = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'

type Context = CanvasRenderingContext2D

/** Empty, and as fine as the screen. */
function fresh(canvas: HTMLCanvasElement, width: number, height: number): Context {
  const density = window.devicePixelRatio || 1
  canvas.width = Math.round(width * density)
  canvas.height = Math.round(height * density)
  const context = canvas.getContext('2d')!
  context.scale(density, density)
  context.font = `12px ${font}`
  context.textBaseline = 'middle'
  return context
}

interface Inks {
  text: string
  muted: string
  line: string
  surface: string
}

function inksOf(element: HTMLElement): Inks {
  const ink = (name: string) => colourIn(element.parentElement!, `var(--${name})`)
  return { text: ink('text'), muted: ink('muted'), line: ink('line-strong'), surface: ink('surface') }
}

/** The same for all maps; asking for a colour makes the browser settle the style of the page. */
const inksBy = new Map<string, Inks>()

function inksIn(scheme: string, element: HTMLElement): Inks {
  const inks = inksBy.get(scheme) ?? inksOf(element)
  inksBy.set(scheme, inks)
  return inks
}

function draw(context: Context, layout: MapLayout, tile: Tile, inks: Inks) {
  axes(context, layout, tile.grid, inks)
  drawCells(context, layout, tile, inks, () => true)
}

function drawCells(context: Context, layout: MapLayout, tile: Tile, inks: Inks, wanted: (name: string) => boolean) {
  const { left, top, cellWidth, cellHeight } = layout
  const space = Math.min(cellWidth, cellHeight) > 6 ? 1 : 0
  const numbered = showsNumbers(tile, layout)
  tile.grid.names.forEach((names, row) =>
    names.forEach((name, column) => {
      if (name === null || !wanted(name)) return
      const box = { x: left + column * cellWidth, y: top + row * cellHeight, w: cellWidth - space, h: cellHeight - space }
      cell(context, box, tile, name, inks, numbered)
    }),
  )
}

/** Numbers stand in all cells or, where one has no room, in none: those in a few would seem to be special. */
function showsNumbers({ values, show }: Tile, { cellWidth, cellHeight }: MapLayout): boolean {
  return cellHeight >= 15 && [...values.values()].every((value) => textWidth(show(value)) + 3 <= cellWidth)
}

interface Box {
  x: number
  y: number
  w: number
  h: number
}

function cell(context: Context, { x, y, w, h }: Box, tile: Tile, name: string, inks: Inks, numbered: boolean) {
  const { values, noted, scale, show } = tile
  const value = values.get(name)
  context.clearRect(x, y, w, h)
  if (value === undefined) {
    context.strokeStyle = inks.line
    context.setLineDash([2, 3])
    context.strokeRect(x + 0.5, y + 0.5, w - 1, h - 1)
    context.setLineDash([])
    return
  }
  const colour = tile.colour(position(value, scale))
  context.fillStyle = `rgb(${colour})`
  context.fillRect(x, y, w, h)
  context.fillStyle = inkOn(colour)
  context.textAlign = 'center'
  const mark = noted.has(name) ? ' !' : ''
  const told = numbered ? `${show(value)}${mark}` : mark.trim()
  context.fillText(mark && textWidth(told) + 4 > w ? '!' : told, x + w / 2, y + h / 2)
}

function axes(context: Context, { left, top, cellWidth, cellHeight, slanted }: MapLayout, { blocks, modules }: MapGrid, inks: Inks) {
  context.fillStyle = inks.muted
  columnLabels(modules).forEach((label, column) => {
    context.save()
    context.translate(left + (column + 0.5) * cellWidth, top - (slanted ? 6 : 10))
    // Leaning to the right, where the layout leaves room for the last of them.
    if (slanted) context.rotate(-Math.PI / 4)
    context.textAlign = slanted ? 'left' : 'center'
    context.fillText(label, 0, 0)
    context.restore()
  })
  context.textAlign = 'right'
  const every = Math.ceil(16 / cellHeight)
  blocks.forEach((block, row) => {
    if (row % every === 0) context.fillText(String(block), left - 4, top + (row + 0.5) * cellHeight)
  })
}

function drawLegend(context: Context, { scale, tick, colour }: Tile, width: number, inks: Inks) {
  for (let x = 0; x < width; x++) {
    context.fillStyle = `rgb(${colour(x / (width - 1))})`
    context.fillRect(x, 0, 1.5, 8)
  }
  context.fillStyle = inks.muted
  context.textAlign = 'center'
  let free = -20
  for (const value of new Set([scale.domain[0], ...scale.ticks, scale.domain[1]])) {
    const text = tick(value)
    const half = textWidth(text) / 2
    const x = Math.min(width - half, Math.max(half, width * position(value, scale)))
    if (x - half < free) continue
    free = x + half + 8
    context.fillText(text, x, 18)
  }
}

/** All canvases of an area as they stand in it, with the names of the maps, under a title. */
export function toPng(area: HTMLElement, title: string): Promise<Blob> {
  const [margin, head, scale] = [12, 32, window.devicePixelRatio || 1]
  const inks = inksOf(area)
  const place = area.getBoundingClientRect()
  const page = new OffscreenCanvas((place.width + 2 * margin) * scale, (place.height + head + margin) * scale)
  const context = page.getContext('2d')!
  context.scale(scale, scale)
  context.fillStyle = inks.surface
  context.fillRect(0, 0, page.width, page.height)
  context.fillStyle = inks.text
  context.font = `600 14px ${font}`
  context.fillText(title, margin, 20)
  context.font = `12px ${font}`
  for (const element of area.querySelectorAll<HTMLElement>('canvas, .map-name, .map-words')) {
    const box = element.getBoundingClientRect()
    const [x, y] = [margin + box.left - place.left, head + box.top - place.top]
    if (element instanceof HTMLCanvasElement) context.drawImage(element, x, y, box.width, box.height)
    else context.fillText(element.innerText.split('\n')[0], x, y + 14, box.width)
  }
  return page.convertToBlob({ type: 'image/png' })
}

const colourQueries = ['(prefers-color-scheme: dark)', '(forced-colors: active)']
const systemColours = () => colourQueries.map((query) => matchMedia(query).matches).join(' ')

/** Changes when the page's colours do. */
function useScheme(): string {
  const theme = useView((state) => state.preferences.theme)
  const [system, setSystem] = useState(systemColours)
  useEffect(() => {
    const follow = () => setSystem(systemColours())
    const lists = colourQueries.map((query) => matchMedia(query))
    for (const list of lists) list.addEventListener('change', follow)
    return () => {
      for (const list of lists) list.removeEventListener('change', follow)
    }
  }, [])
  return `${theme} ${system}`
}
