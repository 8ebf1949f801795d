/** What the charts of a linear share: whose data they show, and their axes. */
import type { LinearLook } from '../../engine/hosts/client.ts'
import { runColour } from '../panels/run-mark.tsx'

export const edge = { left: 56, right: 12, top: 10, bottom: 34 }

/** A run as the charts here name and colour it; null: codes that the model itself is stored as. */
export interface Shown {
  run: string | null
  label: string
}

export const colourOf = ({ run }: Shown) => (run === null ? 'var(--text)' : runColour(run))
export const legendOf = ({ run, label }: Shown) => (run === null ? [] : [{ run, label }])
export const short = (value: number) => (value === 0 ? '0' : String(Number(value.toPrecision(3))))

interface Axis {
  domain: [number, number]
  ticks: number[]
}

export interface FrameProps {
  width: number
  height: number
  x: Axis & { label: string; show: (value: number) => string }
  y: Axis & { log?: boolean; show: (value: number) => string }
}

/** Where a value is drawn. */
export function placesOf({ width, height, x, y }: FrameProps) {
  const to = (value: number) => (y.log ? Math.log(value) : value)
  const [low, high] = y.domain.map(to)
  return {
    left: (value: number) => edge.left + ((value - x.domain[0]) / (x.domain[1] - x.domain[0] || 1)) * (width - edge.left - edge.right),
    top: (value: number) => height - edge.bottom - ((to(value) - low) / (high - low || 1)) * (height - edge.top - edge.bottom),
  }
}

export function Axes(props: FrameProps) {
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

export function shownOf(look: LinearLook, runs: { id: string; label: string }[]): Shown[] {
  const kept = runs.filter(({ id }) => 'seen' in (look.runs[id]?.solved ?? {}) || 'seen' in (look.runs[id]?.sigma ?? {}))
  return [...(look.stored ? [{ run: null, label: 'The model itself' }] : []), ...kept.map(({ id, label }) => ({ run: id, label }))]
}
