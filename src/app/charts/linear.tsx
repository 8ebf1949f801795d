/** Charts of one linear: its weights and the levels they are rounded to, codes, scales, and the diagonal of Σ. */
import type { SigmaLook, SolvedLook, WeightsLook } from '../../engine/hosts/client.ts'
import * as format from '../format.ts'
import { ChartFrame } from './frame.tsx'
import { linearScale, logScale } from './scale.ts'
import { edge, type Shown, colourOf, legendOf, short, type FrameProps, placesOf, Axes } from './linear-frame.tsx'
import { figure } from '../../figure.ts'

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
    y: { ...logScale([1, most]), log: true, show: format.tick },
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
    y: { ...logScale([...low, ...line, ...high]), log: true, show: format.tick },
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
        rows: mean.map((value, part) => [String(part * each), figure(value, 4), figure(largest[part], 4)]),
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
