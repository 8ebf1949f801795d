/** What the line charts share: the place of values, axes, the line of a run with its marks, names at line ends, values on pointing. */
import { memo } from 'react'
import { RunMark, runColour, runDash, runShape } from '../panels/run-mark.tsx'
import { textWidth } from './map.ts'

export interface Point {
  x: number
  y: number
  /** Drawn hollow: different in kind, as the title or note says. */
  hollow?: boolean
  /** Something unusual was said of it: marked by a sign above the point. */
  noted?: boolean
}

/** A rectangle of pixels, and the values at its edges. */
export interface Frame {
  left: number
  right: number
  top: number
  bottom: number
  x: [number, number]
  y: [number, number]
  log: boolean
}

export const leftOf = ({ left, right, x: [from, to] }: Frame, x: number) => left + ((x - from) / (to - from)) * (right - left)

export function topOf({ top, bottom, y: [low, high], log }: Frame, y: number): number {
  const share = log ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low)
  return bottom - share * (bottom - top)
}

/** Marks closer than this, in pixels, run into each other; then every few points have one. */
const markEvery = 34

interface TraceProps {
  run: string | null
  points: Point[]
  frame: Frame
  /** On held-out tokens: dotted, and without marks. */
  heldOut?: boolean
}

/** One line, with its marks. A log axis has no place for zero: such points stay in the table. */
function Line({ run, points, frame, heldOut = false }: TraceProps) {
  const shown = frame.log ? points.filter(({ y }) => y > 0) : points
  const path = shown.map(({ x, y }, i) => `${i ? 'L' : 'M'}${leftOf(frame, x).toFixed(1)} ${topOf(frame, y).toFixed(1)}`).join('')
  const colour = run === null ? 'var(--text)' : runColour(run)
  const each = Math.max(1, Math.ceil((markEvery * shown.length) / (frame.right - frame.left)))
  return (
    <g data-run={run ?? undefined} className="trace" style={{ '--dash': run === null ? 'none' : runDash(run) } as React.CSSProperties}>
      <path d={path} fill="none" stroke={colour} className={heldOut ? 'line held-out' : 'line'} />
      {run !== null &&
        !heldOut &&
        shown.map(
          (point, i) =>
            (i % each === 0 || i === shown.length - 1 || point.noted) && (
              <g key={point.x} transform={`translate(${leftOf(frame, point.x).toFixed(1)} ${topOf(frame, point.y).toFixed(1)})`}>
                <Mark run={run} hollow={point.hollow} />
                {point.noted && <Noted />}
              </g>
            ),
        )}
    </g>
  )
}

const samePoints = (a: Point[], b: Point[]) =>
  a.length === b.length &&
  a.every(({ x, y, hollow, noted }, i) => x === b[i].x && y === b[i].y && hollow === b[i].hollow && noted === b[i].noted)

/** A line that is drawn again only when its points or its frame change, so that a redraw costs what is new in it. */
export const Trace = memo(
  Line,
  (a, b) => a.run === b.run && a.frame === b.frame && a.heldOut === b.heldOut && samePoints(a.points, b.points),
)

export function Mark({ run, hollow = false }: { run: string; hollow?: boolean }) {
  return (
    <path
      d={runShape(run)}
      transform="scale(0.8)"
      fill={hollow ? 'var(--surface)' : runColour(run)}
      stroke={runColour(run)}
      strokeWidth={hollow ? 2 : 0}
    />
  )
}

function Noted() {
  return (
    <text y={-8} textAnchor="middle" fontWeight={600} className="on-lines">
      !
    </text>
  )
}

interface AxesProps {
  frame: Frame
  x: { ticks: number[]; show: (value: number) => string; label?: string }
  y: { ticks: number[]; show: (value: number) => string }
  reference?: { y: number; label?: string }
}

/** Lines of the grid with their values, and the line that all is held against. */
export function Axes({ frame, x, y, reference }: AxesProps) {
  const { left, right, bottom } = frame
  const widest = Math.max(...x.ticks.map((tick) => textWidth(x.show(tick))))
  const each = Math.max(1, Math.ceil(((widest + 10) * x.ticks.length) / (right - left)))
  return (
    <g fill="var(--muted)">
      {y.ticks.map((tick) => (
        <g key={tick}>
          <path d={`M${left} ${topOf(frame, tick)}H${right}`} stroke="var(--grid)" />
          <text x={left - 6} y={topOf(frame, tick) + 4} textAnchor="end">
            {y.show(tick)}
          </text>
        </g>
      ))}
      <path d={`M${left} ${bottom}H${right}`} stroke="var(--line-strong)" />
      {x.ticks.map((tick, i) =>
        i % each ? null : (
          <text key={tick} x={leftOf(frame, tick)} y={bottom + 16} textAnchor="middle">
            {x.show(tick)}
          </text>
        ),
      )}
      {x.label && (
        <text x={(left + right) / 2} y={bottom + 34} textAnchor="middle">
          {x.label}
        </text>
      )}
      {reference && (
        <>
          <path d={`M${left} ${topOf(frame, reference.y)}H${right}`} stroke="var(--muted)" strokeDasharray="5 4" strokeWidth={1.5} />
          {reference.label && (
            // Under its line, or over it where there is no room.
            <text
              x={left + 6}
              y={topOf(frame, reference.y) + (topOf(frame, reference.y) + 16 < bottom ? 14 : -5)}
              className="on-lines muted"
            >
              {reference.label}
            </text>
          )}
        </>
      )}
    </g>
  )
}

interface End {
  run: string
  label: string
  points: Point[]
}

const lineHeight = 15

/** Room at the right for the names at line ends; 0 where they do not fit, and a legend has to do. */
export function roomForEnds(ends: End[], width: number, height: number): number {
  const widest = Math.max(0, ...ends.map(({ label }) => textWidth(label)))
  return ends.length && width >= 480 && ends.length * lineHeight <= height ? Math.min(widest + 24, 0.28 * width) : 0
}

/** Names beside the ends of their lines, moved apart where one would lie on another. */
export function Ends({ ends, frame, room }: { ends: End[]; frame: Frame; room: number }) {
  const placed = ends
    .map((end) => ({ ...end, last: end.points.findLast(({ y }) => !frame.log || y > 0) }))
    .flatMap(({ last, ...end }) => (last ? [{ ...end, x: leftOf(frame, last.x), at: topOf(frame, last.y), y: topOf(frame, last.y) }] : []))
    .sort((a, b) => a.at - b.at)
  for (const [i, one] of placed.entries()) if (i) one.y = Math.max(one.y, placed[i - 1].y + lineHeight)
  // Back up from the lower edge where they were pushed past it.
  placed.reduceRight((limit, one) => {
    one.y = Math.min(one.y, limit)
    return one.y - lineHeight
  }, frame.bottom)
  const letters = Math.floor((room - 24) / 6.6)
  return placed.map(({ run, label, x, at, y }) => (
    <g key={run} data-run={run}>
      <path d={`M${x + 6} ${at}L${frame.right + 10} ${y}`} stroke={runColour(run)} opacity={0.6} fill="none" />
      <text x={frame.right + 13} y={y + 4} className="on-lines">
        <title>{label}</title>
        {label.length > letters ? `${label.slice(0, letters - 1)}…` : label}
      </text>
    </g>
  ))
}

interface ReadingProps {
  head: string
  rows: { run: string | null; label: string; value: string }[]
  notes?: string[]
  /** Pixels from the left and the top of what it lies in, which is so wide. */
  left: number
  top: number
  width: number
  /** Before the place and not behind it. */
  before?: boolean
}

/** The values at a place, beside it. */
export function Reading({ head, rows, notes = [], left, top, width, before = left > width / 2 }: ReadingProps) {
  const side = before ? { right: width - left + 12 } : { left: left + 12 }
  return (
    <div className="tooltip reading" style={{ ...side, top }} aria-hidden="true">
      <b>{head}</b>
      {rows.map(({ run, label, value }) => (
        <div key={`${run} ${label}`} className="tooltip-row">
          {run !== null && <RunMark run={run} />}
          <span>{label}</span>
          <span className="figures">{value}</span>
        </div>
      ))}
      {notes.map((note) => (
        <div key={note} className="tooltip-note">
          ! {note}
        </div>
      ))}
    </div>
  )
}
