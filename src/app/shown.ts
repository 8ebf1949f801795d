/** Which runs are drawn and listed, and in which order. */
import { useMemo } from 'react'
import { useView } from './context.ts'
import type { JobView, RunView } from './reduce.ts'

/** Pinned runs first, each part in its own order. */
export function pinnedFirst(runs: RunView[], pinned: string[]): RunView[] {
  if (!pinned.length) return runs
  return [...runs.filter(({ id }) => pinned.includes(id)), ...runs.filter(({ id }) => !pinned.includes(id))]
}

/** The job as tables list it: hidden runs too, pinned ones first. */
export function useOrdered(view: JobView): JobView {
  const pinned = useView((state) => state.pinned)
  return useMemo(() => (pinned.length ? { ...view, runs: pinnedFirst(view.runs, pinned) } : view), [view, pinned])
}

/** The job as charts show it: without hidden runs, pinned ones first. */
export function useShown(view: JobView): JobView {
  const hidden = useView((state) => state.hidden)
  const pinned = useView((state) => state.pinned)
  return useMemo(
    () => ({
      ...view,
      runs: pinnedFirst(
        view.runs.filter(({ id }) => !hidden.includes(id)),
        pinned,
      ),
    }),
    [view, hidden, pinned],
  )
}
