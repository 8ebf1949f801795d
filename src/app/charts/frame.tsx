/** The frame of a chart: title with quantity and unit, legend, its data as a table, and saving as an image. */
import { DropdownMenu } from 'radix-ui'
import { memo, type ReactNode, useCallback, useEffect, useId, useRef, useState } from 'react'
import { download } from '../files.ts'
import { Button } from '../panels/controls.tsx'
import { Icon } from '../panels/icons.tsx'
import { RunMark } from '../panels/run-mark.tsx'
import { Scroll, usePages } from '../panels/tables.tsx'
import { savePng, toSvg } from './picture.ts'
import './frame.css'

export interface ChartTable {
  columns: string[]
  rows: string[][]
}

interface Named {
  run: string
  label: string
}

interface ChartFrameProps {
  /** Quantity and unit. */
  title: string
  note?: ReactNode
  /** What can be chosen about it. */
  controls?: ReactNode
  /** Runs that are not named in the chart itself, at this width. */
  legend: Named[] | ((width: number) => Named[])
  /** Large charts, which have thousands of values, make it when it is asked for. */
  table: ChartTable | (() => ChartTable)
  height: number | ((width: number) => number)
  /** What will be here, while there is nothing. */
  empty: string | null
  /** For a chart that is no SVG: how it becomes a picture. */
  toPng?: () => Promise<Blob>
  children: (width: number) => ReactNode
}

export function ChartFrame({ title, note, controls, legend: named, table, height: asked, empty, toPng, children }: ChartFrameProps) {
  const [asTable, setAsTable] = useState(false)
  const area = useRef<HTMLDivElement>(null)
  const id = useId()
  const width = useWidth(area)
  const legend = typeof named === 'function' ? named(width) : named
  const height = typeof asked === 'number' ? asked : empty ? 220 : asked(width || 800)

  const picture = () => {
    const svg = area.current?.querySelector<SVGSVGElement>('svg[data-plot]')
    return svg && toSvg(svg, title, legend)
  }
  const saveSvg = () => {
    const made = picture()
    if (made) download(`${file}.svg`, new Blob([made.text], { type: 'image/svg+xml' }))
  }
  const saveAsPng = () => {
    const made = toPng ? null : picture()
    const drawing = toPng ? toPng() : made && savePng(made)
    drawing?.then((blob) => download(`${file}.png`, blob))
  }
  const file = title
    .split(',')[0]
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
  const save = useLatest((kind: 'svg' | 'png') => (kind === 'svg' ? saveSvg() : saveAsPng()))

  return (
    <figure className="chart panel" aria-labelledby={id}>
      <figcaption>
        <h2 id={id}>{title}</h2>
        <Tools asTable={asTable} drawn={empty === null && !asTable} vector={!toPng} onTable={setAsTable} onSave={save} />
      </figcaption>
      {controls && <div className="chart-controls">{controls}</div>}
      <p className="chart-note">
        {legend.map(({ run, label }) => (
          <span key={run} className="legend" data-run={run}>
            <RunMark run={run} />
            {'\u00a0'}
            {label}
          </span>
        ))}
        {note && <span>{note}</span>}
      </p>
      <div className="chart-area" ref={area} style={{ height: asTable ? undefined : height, minHeight: height }}>
        {asTable ? (
          <DataTable table={typeof table === 'function' ? table() : table} label={title} height={height} />
        ) : empty ? (
          <p className="chart-empty">{empty}</p>
        ) : (
          width > 0 && children(width)
        )}
      </div>
    </figure>
  )
}

/** The same function all the time, which does what the latest one does. */
function useLatest<A extends unknown[]>(act: (...rest: A) => void): (...rest: A) => void {
  const latest = useRef(act)
  useEffect(() => {
    latest.current = act
  })
  return useCallback((...rest: A) => latest.current(...rest), [])
}

interface ToolsProps {
  asTable: boolean
  drawn: boolean
  /** Whether it can be saved as SVG. */
  vector: boolean
  onTable: (on: boolean) => void
  onSave: (kind: 'svg' | 'png') => void
}

/** Drawn again only when it is different, unlike its chart. */
const Tools = memo(function Tools({ asTable, drawn, vector, onTable, onSave }: ToolsProps) {
  return (
    <div className="chart-tools">
      <Button
        kind="quiet"
        icon="table"
        aria-label="Show as table"
        title="Show as table"
        aria-pressed={asTable}
        onClick={() => onTable(!asTable)}
      />
      <DropdownMenu.Root modal={false}>
        <DropdownMenu.Trigger className="button quiet bare" aria-label="Save chart" title="Save chart" disabled={!drawn}>
          <Icon name="download" />
        </DropdownMenu.Trigger>
        <DropdownMenu.Portal>
          <DropdownMenu.Content className="menu" align="end" sideOffset={4}>
            {vector && <DropdownMenu.Item onSelect={() => onSave('svg')}>Save as SVG</DropdownMenu.Item>}
            <DropdownMenu.Item onSelect={() => onSave('png')}>Save as PNG</DropdownMenu.Item>
          </DropdownMenu.Content>
        </DropdownMenu.Portal>
      </DropdownMenu.Root>
    </div>
  )
})

function DataTable({ table, label, height }: { table: ChartTable; label: string; height: number }) {
  const pages = usePages(table.rows, 100)
  return (
    <>
      <div style={{ maxHeight: height, overflow: 'auto' }}>
        <Scroll label={`Table: ${label}`}>
          <table className="sticky">
            <thead>
              <tr>
                {table.columns.map((column, i) => (
                  <th key={column} scope="col" className={i ? 'number' : ''}>
                    {column}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {pages.rows.map((row) => (
                <tr key={row.join()}>
                  {row.map((cell, i) => (
                    <td key={table.columns[i]} className={i ? 'number' : ''}>
                      {cell}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      </div>
      {pages.controls}
    </>
  )
}

function useWidth(ref: React.RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0)
  useEffect(() => {
    const element = ref.current
    if (!element) return
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)))
    observer.observe(element)
    return () => observer.disconnect()
  }, [ref])
  return width
}
