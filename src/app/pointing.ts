/** Pointing at a run, or focusing on it, dims the others wherever they are drawn: one rule of style, and nothing is drawn again. */
import { useEffect } from 'react'
import { createStore } from 'zustand/vanilla'

/** The run that is looked at. */
const pointed = createStore<{ run: string | null }>(() => ({ run: null }))

/** @param run none: all are as they were */
function rulesFor(run: string | null): string {
  return run === null ? '' : `[data-run]:not([data-run="${CSS.escape(run)}"]) { opacity: 0.35 }`
}

/** What lies nearest to the pointer, where a chart has no element for each point. */
export function pointAt(run: string | null) {
  if (run !== pointed.getState().run) pointed.setState({ run })
}

/** For the whole page. */
export function usePointing() {
  useEffect(() => {
    const sheet = new CSSStyleSheet()
    document.adoptedStyleSheets.push(sheet)
    const forget = pointed.subscribe(({ run }) => sheet.replaceSync(rulesFor(run)))
    // What is pointed at comes first: scrolling moves things under a pointer that rests. Focus by the mouse is no wish to see one run.
    const see = ({ type, target }: Event) => {
      const focused = document.activeElement
      pointAt((type === 'pointerover' ? runOf(target) : null) ?? (focused?.matches(':focus-visible') ? runOf(focused) : null))
    }
    const kinds = ['pointerover', 'focusin', 'focusout'] as const
    for (const kind of kinds) document.addEventListener(kind, see)
    return () => {
      for (const kind of kinds) document.removeEventListener(kind, see)
      forget()
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
    }
  }, [])
}

const runOf = (target: EventTarget | null) =>
  target instanceof Element ? (target.closest<HTMLElement>('[data-run]')?.dataset.run ?? null) : null
