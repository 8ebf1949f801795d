/** Pointing at a run, or focusing on it, dims the others in charts and tables: one rule of style, and nothing is drawn again. */
import { useEffect } from 'react'
import { createStore } from 'zustand/vanilla'

/** The run that is looked at. */
const pointed = createStore<{ run: string | null }>(() => ({ run: null }))

/**
 * Marks give way; words stay legible, at a contrast of 4.5 and more.
 * @param run none: all are as they were
 */
function rulesFor(run: string | null): string {
  if (run === null) return ''
  const others = `[data-run]:not([data-run="${CSS.escape(run)}"])`
  return `.chart ${others} { opacity: 0.35 } .chart .legend${others}, :is(tr, td)${others} { opacity: 0.65 }`
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
    let focused: string | null = null
    const focus = (run: string | null) => {
      focused = run
      pointAt(run)
    }
    const ways = [
      ['pointerover', pointing(() => focused)],
      ['focusin', (event: FocusEvent) => focus(steppedTo(event))],
      ['focusout', () => focus(null)],
    ] as const
    for (const [kind, see] of ways) document.addEventListener(kind, see as (event: Event) => void)
    return () => {
      for (const [kind, see] of ways) document.removeEventListener(kind, see as (event: Event) => void)
      forget()
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
    }
  }, [])
}

/** A pointer that rests, while the page changes or scrolls under it, points at nothing: what has the focus counts. */
function pointing(focused: () => string | null) {
  let before = ''
  return ({ target, screenX, screenY }: PointerEvent) => {
    const place = `${screenX} ${screenY}`
    pointAt(place === before ? focused() : runOf(target))
    before = place
  }
}

/** The run that a step of the keyboard led to. Focus by the mouse, or given back by a drawer that closes, is no wish to see one. */
function steppedTo({ target, relatedTarget }: FocusEvent): string | null {
  const stepped = target instanceof Element && target.matches(':focus-visible') && relatedTarget instanceof Element
  return stepped && !relatedTarget.closest('[role="dialog"]') ? runOf(target) : null
}

const runOf = (target: EventTarget | null) =>
  target instanceof Element ? (target.closest<HTMLElement>('[data-run]')?.dataset.run ?? null) : null
