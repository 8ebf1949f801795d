/** Charts of one linear: its weights and the levels they are rounded to, codes, scales, the largest weights, and the diagonal of Σ. */
import type { LinearLook, SigmaLook, SolvedLook, TileMap, WeightsLook } from '../../engine/hosts/client.ts'
import { useMemo } from 'react'
import * as format from '../format.ts'
import { runColour } from '../panels/controls.tsx'
import { ChartFrame } from './frame.tsx'
import { cividis, position } from './map.ts'
import { linearScale, logScale } from './scale.ts'

const edge = { left: 56, right: 12, top: 10, bottom: 34 }

/** A run as the charts here name and colour it; null: codes that the model itself is stored as. */
export interface Shown {
  run: string | null
  label: string
}

const colourOf = ({ run }: Shown) => (run === null ? 'var(--text)' : runColour(run))
const legendOf = ({ run, label }: Shown) => (run === null ? [] : [{ run, label }])
const short = (value: number) => (value === 0 ? '0' : String(Number(value.toPrecision(3))))

interface Axis {
  domain: [number, number]
  ticks: number[]
}

interface FrameProps {
  width: number
  height: number
  x: Axis & { label: string; show: (value: number) => string }
  y: Axis & { log?: boolean; show: (value: number) => string }
}

/** Where a value is drawn. */
function placesOf({ width, height, x, y }: FrameProps) {
  const to = (value: number) => (y.log ? Math.log(value) : value)
  const [low, high] = y.domain.map(to)
  return {
    left: (value: number) => edge.left + ((value - x.domain[0]) / (x.domain[1] - x.domain[0] || 1)) * (width - edge.left - edge.right),
    top: (value: number) => height - edge.bottom - ((to(value) - low) / (high - low || 1)) * (height - edge.top - edge.bottom),
  }
}

function Axes(props: FrameProps) {
  const { width, height, x, y } = props
  const { left, top } = placesOf(props)
  return (
    <g fill="var(--muted)">
      {y.ticks.map((tick) => (
        <g key={tick}>
          <path d={`M${edge.left} ${top(tick)}H${width - edge.right}`} stroke="var(--grid)" />
          <text x={edge.left - 6} y={top(tick) + 4} textAnchor="end">
            {y.show(tick)}
          </text>
        </g>
      ))}
      <g textAnchor="middle">
        {x.ticks
          .filter((tick) => tick >= x.domain[0] && tick <= x.domain[1])
          .map((tick) => (
            <text key={tick} x={left(tick)} y={height - 18}>
              {x.show(tick)}
            </text>
          ))}
        <text x={(edge.left + width - edge.right) / 2} y={height - 3}>
          {x.label}
        </text>
      </g>
    </g>
  )
}

// ---------------------------------------------------------------- weights and levels

/** The weights, on a log axis, since the few large ones matter most; with the levels of a run through them. */
export function WeightHistogram({ weights, solved, shown }: { weights: WeightsLook; solved: SolvedLook | null; shown: Shown | null }) {
  const { from, to, counts } = weights.histogram
  const step = (to - from) / counts.length
  const levels = solved?.levels ?? null
  return (
    <ChartFrame
      title="Weights and the levels they are rounded to, log scale"
      note={levels ? 'lines: levels of the median scale; bands: 10 to 90 % of all scales' : undefined}
      legend={shown && levels ? legendOf(shown) : []}
      height={210}
      empty={null}
      table={{
        columns: ['Weights around', 'Count'],
        rows: counts.map((count, i) => [short(from + (i + 0.5) * step), format.count(Math.round(count))]),
      }}
    >
      {(width) => <Bins width={width} histogram={weights.histogram} levels={levels} colour={shown ? colourOf(shown) : 'var(--text)'} />}
    </ChartFrame>
  )
}

interface BinsProps {
  width: number
  histogram: WeightsLook['histogram']
  levels: SolvedLook['levels']
  colour: string
}

function Bins({ width, histogram: { from, to, counts }, levels, colour }: BinsProps) {
  const most = Math.max(1, ...counts)
  const frame: FrameProps = {
    width,
    height: 210,
    x: { domain: [from, to], ticks: linearScale([from, to]).ticks, label: 'Weight', show: short },
    // Bins that hold a part of a weight are below the axis.
    y: { ...logScale([1, most]), log: true, show: (value) => format.scientificTick(value) },
  }
  const { left, top } = placesOf(frame)
  const step = (to - from) / counts.length
  const floor = top(frame.y.domain[0])
  const bands = (levels ?? []).map((level, code) => ({ ...level, code }))
  const bins = counts.map((count, i) => ({ count, begin: from + i * step })).filter(({ count }) => count >= frame.y.domain[0])
  return (
    <svg data-plot width={width} height={210} fontSize={12} role="img" aria-label="Histogram of the weights">
      <Axes {...frame} />
      {bands.map(({ code, low, high }) => (
        <rect
          key={code}
          x={left(low)}
          width={Math.max(0, left(high) - left(low))}
          y={edge.top}
          height={floor - edge.top}
          fill={colour}
          opacity={0.12}
        />
      ))}
      {bins.map(({ begin, count }) => (
        <rect
          key={begin}
          x={left(begin)}
          width={Math.max(0.5, left(begin + step) - left(begin) - 0.5)}
          y={top(count)}
          height={floor - top(count)}
          fill="var(--line-strong)"
        />
      ))}
      {bands.map(({ code, median }) => (
        <path key={code} d={`M${left(median)} ${edge.top}V${floor}`} stroke={colour} strokeWidth={1.5}>
          <title>{`Code ${code}: ${short(median)}`}</title>
        </path>
      ))}
    </svg>
  )
}

// ---------------------------------------------------------------- codes and scales

/** How often each code is used. */
export function CodeUse({ solved: { use, bits }, shown }: { solved: SolvedLook; shown: Shown }) {
  const all = use.reduce((sum, count) => sum + count, 0)
  const unused = use.filter((count) => count === 0).length
  return (
    <ChartFrame
      title="How often each code is used"
      note={`${bits} bits hold ${entropy(use).toFixed(2)} bits of information${unused ? `; ${format.plural(unused, 'code')} unused` : ''}`}
      legend={legendOf(shown)}
      height={170}
      empty={null}
      table={{
        columns: ['Code', 'Weights', 'Share'],
        rows: use.map((count, code) => [String(code), format.count(count), format.share(count / all)]),
      }}
    >
      {(width) => <Bars width={width} shares={use.map((count) => count / all)} colour={colourOf(shown)} />}
    </ChartFrame>
  )
}

/** Bits that an ideal code would take for each of these. */
function entropy(use: number[]): number {
  const all = use.reduce((sum, count) => sum + count, 0)
  return use.reduce((sum, count) => (count ? sum - (count / all) * Math.log2(count / all) : sum), 0)
}

function Bars({ width, shares, colour }: { width: number; shares: number[]; colour: string }) {
  const every = Math.ceil(shares.length / Math.max(1, Math.floor((width - edge.left) / 28)))
  const frame: FrameProps = {
    width,
    height: 170,
    x: {
      domain: [-0.5, shares.length - 0.5],
      ticks: shares.map((_, code) => code).filter((code) => code % every === 0),
      label: 'Code',
      show: String,
    },
    y: { ...linearScale(shares, 0), show: (value) => format.fraction(value) },
  }
  const bars = shares.map((share, code) => ({ share, code }))
  const { left, top } = placesOf(frame)
  return (
    <svg data-plot width={width} height={170} fontSize={12} role="img" aria-label="Share of the weights by code">
      <Axes {...frame} />
      {bars.map(({ share, code }) => (
        <rect
          key={code}
          x={left(code - 0.4)}
          width={left(code + 0.4) - left(code - 0.4)}
          y={top(share)}
          height={top(0) - top(share)}
          fill={colour}
        >
          <title>{`Code ${code}: ${format.share(share)}`}</title>
        </rect>
      ))}
    </svg>
  )
}

/** Scales over the groups of columns, or over the rows where each is one group. */
export function Scales({ solved: { scales, groups }, shown }: { solved: SolvedLook; shown: Shown }) {
  const { along, parts } = scales
  const what = along === 'columns' ? `scales of ${format.plural(groups, 'group')} of inputs, over the rows` : 'one scale for each row'
  return (
    <ChartFrame
      title="Scales, log scale"
      note={`${what}; line: median, band: 10 to 90 %`}
      legend={legendOf(shown)}
      height={170}
      empty={null}
      table={{
        columns: [along === 'columns' ? 'From input' : 'From row', '10 %', 'Median', '90 %'],
        rows: parts.map(({ from, low, median, high }) => [String(from), ...[low, median, high].map(short)]),
      }}
    >
      {(width) => (
        <Band
          width={width}
          label={along === 'columns' ? 'Input' : 'Row'}
          at={parts.map(({ from }) => from)}
          low={parts.map(({ low }) => low)}
          line={parts.map(({ median }) => median)}
          high={parts.map(({ high }) => high)}
          colour={colourOf(shown)}
        />
      )}
    </ChartFrame>
  )
}

interface BandProps {
  width: number
  label: string
  at: number[]
  low: number[]
  line: number[]
  high: number[]
  colour: string
}

/** A line with a band around it, on a log axis. */
function Band({ width, label, at, low, line, high, colour }: BandProps) {
  const last = Math.max(at.at(-1)!, at[0] + 1)
  const frame: FrameProps = {
    width,
    height: 170,
    x: { domain: [at[0], last], ticks: linearScale([at[0], last], 0).ticks, label, show: short },
    y: { ...logScale([...low, ...line, ...high]), log: true, show: format.scientificTick },
  }
  const { left, top } = placesOf(frame)
  const floor = frame.y.domain[0]
  const point = (values: number[]) => (x: number, i: number) => `${left(x).toFixed(1)} ${top(Math.max(floor, values[i])).toFixed(1)}`
  const outline = [...at.map(point(high)), ...at.map(point(low)).reverse()]
  return (
    <svg data-plot width={width} height={170} fontSize={12} role="img" aria-label={`By ${label.toLowerCase()}`}>
      <Axes {...frame} />
      <path d={`M${outline.join('L')}Z`} fill={colour} opacity={0.18} />
      {at.length === 1 ? (
        <circle cx={left(at[0])} cy={top(line[0])} r={4} fill={colour} />
      ) : (
        <path d={`M${at.map(point(line)).join('L')}`} fill="none" stroke={colour} strokeWidth={1.5} />
      )}
    </svg>
  )
}

// ---------------------------------------------------------------- Σ

/** How large the inputs are: the diagonal of Σ. */
export function SigmaDiagonal({ sigma: { inputs, each, mean, largest }, shown }: { sigma: SigmaLook; shown: Shown }) {
  return (
    <ChartFrame
      title="Diagonal of Σ, log scale"
      note={
        each === 1
          ? 'sum of squares of each input'
          : `sums of squares of the inputs, ${each} at a time; line: mean, band: up to the largest`
      }
      legend={legendOf(shown)}
      height={170}
      empty={null}
      table={{
        columns: ['From input', 'Mean', 'Largest'],
        rows: mean.map((value, part) => [String(part * each), value.toExponential(3), largest[part].toExponential(3)]),
      }}
    >
      {(width) => (
        <Band
          width={width}
          label={`Input (of ${format.count(inputs)})`}
          at={mean.map((_, part) => part * each)}
          low={mean}
          line={mean}
          high={largest}
          colour={colourOf(shown)}
        />
      )}
    </ChartFrame>
  )
}

// ---------------------------------------------------------------- the largest weights

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
          {format.scientificTick(tick)}
        </text>
      ))}
    </g>
  )
}

/** Whose codes are there to be shown. */
export function shownOf(look: LinearLook, runs: { id: string; label: string }[]): Shown[] {
  const kept = runs.filter(({ id }) => 'seen' in (look.runs[id]?.solved ?? {}) || 'seen' in (look.runs[id]?.sigma ?? {}))
  return [...(look.stored ? [{ run: null, label: 'The model itself' }] : []), ...kept.map(({ id, label }) => ({ run: id, label }))]
}
