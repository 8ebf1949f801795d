/** Pointing at a run, or focusing on it, dims the others wherever they are drawn: one rule of style, and nothing is drawn again. */
import { useEffect } from 'react'

/** Elements of a run name it: by `data-run`, or by a class where a library draws them. */
export const classOf = (run: string) => `of-${run}`

/** @param run none: all are as they were */
function rulesFor(run: string | null): string {
  if (run === null) return ''
  const name = CSS.escape(run)
  const others = `[data-run]:not([data-run="${name}"]), .recharts-line[class*=" of-"]:not(.${classOf(name)})`
  return `:is(${others}) { opacity: 0.35 }`
}

/** While the caller is shown. */
export function usePointing() {
  useEffect(() => {
    const sheet = new CSSStyleSheet()
    document.adoptedStyleSheets.push(sheet)
    let shown: string | null = null
    // What is pointed at comes first: scrolling moves things under a pointer that rests. Focus by the mouse is no wish to see one run.
    const see = ({ type, target }: Event) => {
      const focused = document.activeElement
      const run = (type === 'pointerover' ? runOf(target) : null) ?? (focused?.matches(':focus-visible') ? runOf(focused) : null)
      if (run === shown) return
      shown = run
      sheet.replaceSync(rulesFor(run))
    }
    const kinds = ['pointerover', 'focusin', 'focusout'] as const
    for (const kind of kinds) document.addEventListener(kind, see)
    return () => {
      for (const kind of kinds) document.removeEventListener(kind, see)
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet)
    }
  }, [])
}

const runOf = (target: EventTarget | null) =>
  target instanceof Element ? (target.closest<HTMLElement>('[data-run]')?.dataset.run ?? drawnBy(target)) : null

/** The run of a line that the chart library drew. */
function drawnBy(target: Element): string | null {
  const line = target.closest('.recharts-line')
  return [...(line?.classList ?? [])].find((name) => name.startsWith(classOf('')))?.slice(classOf('').length) ?? null
}
