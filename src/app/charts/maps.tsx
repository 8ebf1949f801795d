/**
 * Maps of all runs side by side on one scale, one row per block, one column per linear, and a map of how two of them differ. Drawn on
 * canvases, since they may have thousands of cells.
 */
import { useId, useMemo, useRef, useState } from 'react'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { RunMark } from '../panels/run-mark.tsx'
import type { JobView } from '../reduce.ts'
import { ChartFrame, type ChartTable } from './frame.tsx'
import { Heat, Legend, type Tile, toPng } from './heat.tsx'
import { type Cell, cividis, columnLabels, diverging, gridOf, type MapGrid, type Quantity, quantities, ratioScale, ratios } from './map.ts'
import { shortName } from './names.ts'
import { linearScale, logScale } from './scale.ts'
import './maps.css'

const words: Record<Quantity, { choice: string; title: string; quantity: string }> = {
  error: { choice: 'Relative error', title: 'Relative error of each linear', quantity: '‖(W−Ŵ)X‖² / ‖WX‖², log scale' },
  heldOut: { choice: 'Held-out error', title: 'Relative error of each linear on held-out tokens', quantity: 'log scale' },
  share: {
    choice: 'Share of the block’s error',
    title: 'Share of the block’s error',
    quantity: 'of the sum of its relative errors, log scale',
  },
  bits: { choice: 'Bits per weight', title: 'Bits per weight of each linear', quantity: 'bits per weight' },
}

export function Maps({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  const [asked, setQuantity] = useState<Quantity>('error')
  const [pair, setPair] = useState<Pair>({ a: '', b: '' })
  const area = useRef<HTMLDivElement>(null)
  const grid = useMemo(() => gridOf(view.layers), [view.layers])
  const heldOut = view.runs.some(({ layers }) => layers.some(({ heldOutError }) => heldOutError !== undefined))
  const quantity = asked === 'heldOut' && !heldOut ? 'error' : asked
  const tiles = tilesOf(view, grid, quantity, unit)
  const difference = differenceOf(tiles, view, pair)
  const all = difference ? [...tiles, difference] : tiles
  const { title } = words[quantity]
  return (
    <ChartFrame
      title={title}
      legend={[]}
      note={`rows: blocks; a click or Enter opens a linear${tiles.some(({ noted }) => noted.size) ? '; !: has notes, which are told there' : ''}`}
      controls={
        <Controls
          view={view}
          quantity={quantity}
          heldOut={heldOut}
          pair={difference ? { a: difference.a, b: difference.b } : null}
          onQuantity={setQuantity}
          onPair={setPair}
        />
      }
      table={() => tableOf(view, all)}
      height={(width) => sizesOf(width, grid, all.length).height}
      empty={
        tiles.some(({ values }) => values.size)
          ? null
          : 'One map for each run, with a row per block and a column per linear: each cell gets its colour when its linear is solved.'
      }
      toPng={() => toPng(area.current!, title)}
    >
      {(width) => (
        <div ref={area}>
          <Side tiles={all} grid={grid} width={width} view={view} />
          <Legend tile={tiles[0]} words={words[quantity].quantity} width={width} />
          {difference && <Legend tile={difference} words={`${difference.label}, log scale`} width={width} />}
        </div>
      )}
    </ChartFrame>
  )
}

interface Pair {
  a: string
  b: string
}

function tilesOf(view: JobView, grid: MapGrid, quantity: Quantity, unit: format.ErrorUnit): Tile[] {
  const values = view.runs.map(({ layers }) => quantities(layers, quantity))
  const every = values.flatMap((one) => [...one.values()])
  const scale = quantity === 'bits' ? { ...linearScale(every), log: false } : { ...logScale(every), log: true }
  const show =
    quantity === 'bits'
      ? format.bitsPerWeight
      : quantity === 'share'
        ? (value: number) => format.relativeError(value, 'percent')
        : (value: number) => format.relativeError(value, unit)
  const tick = show === format.bitsPerWeight ? String : quantity !== 'share' && unit === 'fraction' ? format.tick : show
  return view.runs.map(({ id, label, layers }, i) => ({
    run: id,
    label,
    grid,
    values: values[i],
    noted: new Set(layers.filter(({ notes }) => notes.length).map(({ name }) => name)),
    scale,
    colour: cividis,
    show,
    tick,
  }))
}

/** Of two runs: the last against the first, until others are chosen. */
function differenceOf(tiles: Tile[], { runs }: JobView, pair: Pair): (Tile & Pair) | null {
  if (runs.length < 2) return null
  const known = (run: string, other: string) => (tiles.some((tile) => tile.run === run) ? run : other)
  const b = known(pair.b, runs[0].id)
  const a = known(pair.a, runs.findLast(({ layers, id }) => layers.length && id !== b)?.id ?? runs[1].id)
  const [over, under] = [a, b].map((run) => tiles.find((tile) => tile.run === run)!)
  const values = ratios(over.values, under.values)
  return {
    ...over,
    a,
    b,
    run: null,
    label: `${over.label} as a multiple of ${under.label}`,
    values,
    noted: new Set<string>(),
    scale: ratioScale([...values.values()]),
    colour: diverging,
    show: format.ratio,
    tick: format.ratio,
  }
}

function tableOf(view: JobView, tiles: Tile[]): ChartTable {
  return {
    columns: ['Linear', ...tiles.map(({ label }) => label)],
    rows: view.layers.map((name) => [
      shortName(name),
      ...tiles.map(({ values, show, noted }) => (values.has(name) ? `${show(values.get(name)!)}${noted.has(name) ? ' !' : ''}` : '')),
    ]),
  }
}

/** Name above a map, space between maps, and each of the legends. */
const [head, gap, legendHeight] = [22, 16, 48]

/** Maps beside one another, and how much room each has. */
function sizesOf(width: number, { blocks, modules }: MapGrid, count: number) {
  // Columns are wide enough for slanted names beside each other.
  const least = Math.max(width > 600 ? 210 : 150, 75 + 17 * modules.length)
  // As full rows as can be.
  const rows = Math.ceil(count / Math.max(1, Math.floor((width + gap) / (least + gap))))
  const columns = Math.ceil(count / rows)
  const mapWidth = Math.floor((width - (columns - 1) * gap) / columns)
  const longest = Math.max(0, ...columnLabels(modules).map((label) => label.length))
  const mapHeight = Math.min(480, 22 + longest * 5 + blocks.length * (blocks.length > 16 ? 11 : 24))
  return { columns, mapWidth, mapHeight, height: rows * (mapHeight + head + gap) + (count > 1 ? 2 : 1) * legendHeight }
}

interface SideProps {
  tiles: Tile[]
  grid: MapGrid
  width: number
  view: JobView
}

/** The maps, with one cursor for all. */
function Side({ tiles, grid, width, view }: SideProps) {
  const workbench = useWorkbench()
  const [cursor, setCursor] = useState<Cell | null>(null)
  const { columns, mapWidth, mapHeight } = sizesOf(width, grid, tiles.length)
  const open = (run: string | null, { row, column }: Cell) => {
    const name = grid.names[row][column]
    if (name !== null) workbench.openLinear(name, run)
  }
  return (
    <div className="maps" style={{ gridTemplateColumns: `repeat(${columns}, ${mapWidth}px)` }}>
      {tiles.map((tile, i) => (
        <div key={tile.run ?? 'difference'} data-run={tile.run ?? undefined}>
          <p className="map-name">
            {tile.run !== null && <RunMark run={tile.run} />}
            <span>{tile.label}</span>
          </p>
          <Heat
            tile={tile}
            width={mapWidth}
            height={mapHeight}
            cursor={cursor}
            told={() => (cursor ? tell(cursor, tiles, grid, view) : null)}
            // Of the right half the values stand at the left, so that they stay in the page.
            toLeft={i % columns >= columns / 2}
            onMove={setCursor}
            onOpen={(cell) => open(tile.run, cell)}
          />
        </div>
      ))}
    </div>
  )
}

/** What all maps say of one linear. */
function tell({ row, column }: Cell, tiles: Tile[], grid: MapGrid, view: JobView) {
  const name = grid.names[row][column]
  const head = `Block ${grid.blocks[row]}, ${grid.modules[column]}`
  if (name === null) return { head: `${head}: no such linear`, rows: [], notes: [] }
  const rows = tiles.flatMap(({ run, label, values, show }) => (values.has(name) ? [{ run, label, value: show(values.get(name)!) }] : []))
  const notes = view.runs.flatMap(({ label, layers }) =>
    (layers.find((layer) => layer.name === name)?.notes ?? []).map((note) => `${label}: ${note}`),
  )
  return { head: rows.length ? head : `${head}: not solved yet`, rows, notes }
}

interface ControlsProps {
  view: JobView
  quantity: Quantity
  heldOut: boolean
  pair: Pair | null
  onQuantity: (quantity: Quantity) => void
  onPair: (pair: Pair) => void
}

function Controls({ view, quantity, heldOut, pair, onQuantity, onPair }: ControlsProps) {
  const id = useId()
  const runs = view.runs.map(({ id: run, label }) => (
    <option key={run} value={run}>
      {label}
    </option>
  ))
  return (
    <>
      <label className="map-run" htmlFor={`${id}-quantity`}>
        <span className="sr">Quantity shown in the maps</span>
        <select id={`${id}-quantity`} className="input" value={quantity} onChange={(event) => onQuantity(event.target.value as Quantity)}>
          {(Object.keys(words) as Quantity[]).map((key) =>
            key === 'heldOut' && !heldOut ? null : (
              <option key={key} value={key}>
                {words[key].choice}
              </option>
            ),
          )}
        </select>
      </label>
      {pair && (
        <span className="map-run">
          <label htmlFor={`${id}-a`}>Ratio:</label>
          <select id={`${id}-a`} className="input" value={pair.a} onChange={(event) => onPair({ ...pair, a: event.target.value })}>
            {runs}
          </select>
          <label htmlFor={`${id}-b`}>over</label>
          <select id={`${id}-b`} className="input" value={pair.b} onChange={(event) => onPair({ ...pair, b: event.target.value })}>
            {runs}
          </select>
        </span>
      )}
    </>
  )
}
