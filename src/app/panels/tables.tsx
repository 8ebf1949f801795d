/** What tables share: pages of rows, and scrolling sideways. */
import { type ReactNode, useState } from 'react'
import * as format from '../format.ts'
import { Button } from './controls.tsx'
import './tables.css'

/** Large models have thousands of rows; a page of them is all that is drawn. */
export function usePages<T>(rows: T[], size: number) {
  const [page, setPage] = useState(0)
  const pages = Math.max(1, Math.ceil(rows.length / size))
  const at = Math.min(page, pages - 1)
  const first = at * size
  const controls = pages > 1 && (
    <div className="pages">
      <Button kind="quiet" icon="previous" aria-label="Previous page" disabled={at === 0} onClick={() => setPage(at - 1)} />
      <span className="figures">
        {format.count(first + 1)}–{format.count(Math.min(rows.length, first + size))} of {format.count(rows.length)}
      </span>
      <Button kind="quiet" icon="next" aria-label="Next page" disabled={at === pages - 1} onClick={() => setPage(at + 1)} />
    </div>
  )
  return { rows: rows.slice(first, first + size), controls }
}

/** Scrolls sideways on narrow screens, by keyboard too. */
export function Scroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section className="scroll" aria-label={label} tabIndex={0} onFocus={uncover}>
      {children}
    </section>
  )
}

/** What gets the focus is not left under the column that stays in place. */
function uncover({ target, currentTarget }: React.FocusEvent<HTMLElement>) {
  const cell = target.closest('td, th')
  const first = cell?.parentElement?.firstElementChild
  if (!cell || !first || cell === first || getComputedStyle(first).position !== 'sticky') return
  const covered = first.getBoundingClientRect().right - cell.getBoundingClientRect().left
  if (covered > 0) currentTarget.scrollLeft -= covered
}
