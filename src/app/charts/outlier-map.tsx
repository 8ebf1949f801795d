/** A map of the largest weights of a linear. */
import type { SolvedLook, TileMap, WeightsLook } from '../../engine/hosts/client.ts'
import { useMemo } from 'react'
import * as format from '../format.ts'
import { ChartFrame } from './frame.tsx'
import { cividis, position } from './map.ts'
import { logScale } from './scale.ts'
import { edge, type Shown, legendOf } from './linear-frame.tsx'

/** The largest |w| in tiles of the matrix. Columns that stand out are marked above it, kept ones below. */
export function OutlierMap({ look, solved, shown }: { look: WeightsLook; solved: SolvedLook | null; shown: Shown | null }) {
  const { map, columns } = look
  const kept = solved?.outliers ?? null
  const words = [
    columns.length > 0 && '▼: columns at least three times as large as the median',
    kept && kept.columns.length > 0 && '▲: columns kept whole beside the codes',
    kept && `${format.count(kept.count)} weights kept beside the codes`,
  ].filter(Boolean)
  return (
    <ChartFrame
      title="Largest |w|, rows by columns, log scale"
      note={words.join('; ') || 'no column stands out'}
      legend={shown && kept ? legendOf(shown) : []}
      height={(width) => mapHeight(map, width)}
      empty={null}
      table={{
        columns: ['Column', 'Times the median column'],
        rows: columns.map(({ column, times }) => [String(column), format.ratio(times)]),
      }}
    >
      {(width) => <Tiles width={width} look={look} kept={kept?.columns ?? []} />}
    </ChartFrame>
  )
}

const mapHeight = ({ rows, columns }: TileMap, width: number) =>
  Math.min(320, Math.max(96, ((width - edge.left - edge.right) * rows) / Math.max(1, columns) / 2)) + 70

function Tiles({ width, look, kept }: { width: number; look: WeightsLook; kept: number[] }) {
  const { map, columns } = look
  const height = mapHeight(map, width) - 70
  const across = width - edge.left - edge.right
  const { domain, ticks } = useMemo(() => logScale(map.values), [map])
  const mark = (column: number) => edge.left + ((column + 0.5) / look.shape[1]) * across
  const top = 14
  return (
    <svg data-plot width={width} height={height + 70} fontSize={12} role="img" aria-label="Map of the largest weights">
      <image
        href={useMemo(() => pictureOf(map, domain), [map, domain])}
        x={edge.left}
        y={top}
        width={across}
        height={height}
        preserveAspectRatio="none"
        style={{ imageRendering: 'pixelated' }}
      />
      <g fill="var(--text)" textAnchor="middle">
        {columns.map(({ column, times }) => (
          <text key={column} x={mark(column)} y={top - 3} fontSize={9}>
            ▼<title>{`Column ${column}: ${format.ratio(times)} the median`}</title>
          </text>
        ))}
        {kept.map((column) => (
          <text key={column} x={mark(column)} y={top + height + 10} fontSize={9}>
            ▲<title>{`Column ${column} is kept`}</title>
          </text>
        ))}
      </g>
      <text x={edge.left - 6} y={top + height / 2} textAnchor="end" fill="var(--muted)">
        rows
      </text>
      <Key left={edge.left} top={top + height + 18} length={Math.min(320, across)} domain={domain} ticks={ticks} />
    </svg>
  )
}

/** One pixel a tile. */
function pictureOf({ rows, columns, values }: TileMap, domain: [number, number]): string {
  const canvas = document.createElement('canvas')
  canvas.width = columns
  canvas.height = rows
  const context = canvas.getContext('2d')!
  const pixels = context.createImageData(columns, rows)
  values.forEach((value, i) => {
    pixels.data.set([...cividis(position(value, { domain, log: true })), 255], 4 * i)
  })
  context.putImageData(pixels, 0, 0)
  return canvas.toDataURL()
}

function Key({
  left,
  top,
  length,
  domain,
  ticks,
}: {
  left: number
  top: number
  length: number
  domain: [number, number]
  ticks: number[]
}) {
  const steps = Array.from({ length: 64 }, (_, step) => step)
  const at = (value: number) => left + (Math.log(value / domain[0]) / Math.log(domain[1] / domain[0])) * length
  return (
    <g fill="var(--muted)" textAnchor="middle">
      {steps.map((step) => (
        <rect key={step} x={left + (step * length) / 64} y={top} width={length / 64 + 0.5} height={8} fill={`rgb(${cividis(step / 63)})`} />
      ))}
      {ticks.map((tick) => (
        <text key={tick} x={at(tick)} y={top + 22}>
          {format.tick(tick)}
        </text>
      ))}
    </g>
  )
}

/** Whose codes are there to be shown. */
