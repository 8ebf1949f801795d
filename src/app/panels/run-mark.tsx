/** How runs look: colours, shapes and dashes. */

/** One for each of twelve runs; colour is never alone. Drawn around the origin, 10 px wide. */
const shapes = [
  'M-4-4h8v8h-8z',
  'M4.5 0a4.5 4.5 0 1 1-9 0a4.5 4.5 0 1 1 9 0z',
  'M0-5L5 4H-5z',
  'M0-5.5L5.5 0L0 5.5L-5.5 0z',
  'M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z',
  'M0 5L5-4H-5z',
  'M-3-5.2L0-2.2L3-5.2L5.2-3L2.2 0L5.2 3L3 5.2L0 2.2L-3 5.2L-5.2 3L-2.2 0L-5.2-3z',
  'M0-5.5L1.4-1.8L5.3-1.7L2.2 0.7L3.3 4.5L0 2.3L-3.3 4.5L-2.2 0.7L-5.3-1.7L-1.4-1.8z',
  'M-5-2.2h10v4.4h-10z',
  'M-2.2-5h4.4v10h-4.4z',
  'M-5-4L4 0L-5 4z',
  'M5-4L-4 0L5 4z',
]

/** Okabe-Ito in its order and two more; `--run-1` and so on in tokens.css. */
const colours = 8

/**
 * Runs keep their looks wherever they stand in the plan: both come from the number in the id, which is never given twice.
 * The ninth run has the first colour again, but a shape of its own.
 */
const numberOf = (run: string) => Math.max(0, Number(/\d+$/.exec(run)?.[0] ?? 1) - 1)

export const runColour = (run: string) => `var(--run-${(numberOf(run) % colours) + 1})`
export const runShape = (run: string) => shapes[numberOf(run) % shapes.length]
/** Dashes of its line: from the ninth run on, which has a colour a second time, and for all where colours are the system's. */
export const runDash = (run: string) => `var(--dash-${(numberOf(run) % shapes.length) + 1})`

export function RunMark({ run }: { run: string }) {
  return (
    <svg className="run-mark" viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">
      <path d={runShape(run)} fill={runColour(run)} />
    </svg>
  )
}
