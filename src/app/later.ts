/** Parts of the page that are not loaded with it. */
import { type ComponentType, lazy } from 'react'

const waiting = new Set<() => Promise<unknown>>()
let touched = false

/** A component that is loaded when it is first shown, or when the page is first touched, whichever comes first. */
export function later<Props>(load: () => Promise<ComponentType<Props>>) {
  let loading: Promise<{ default: ComponentType<Props> }> | undefined
  const once = () => {
    loading ??= load().then((component) => ({ default: component }))
    return loading
  }
  // A part of what came after the first touch follows at once.
  if (touched) once().catch(() => {})
  else waiting.add(once)
  return lazy(once)
}

/** Once something is touched, the rest of the page and what else there is follow: from then on they work without a network. */
export function loadOnTouch(...rest: (() => Promise<unknown>)[]) {
  const events = ['pointerdown', 'keydown', 'dragenter'] as const
  const load = () => {
    touched = true
    for (const name of events) window.removeEventListener(name, load)
    for (const each of [...waiting, ...rest]) each().catch(() => {}) // told where it is needed
    waiting.clear()
  }
  for (const name of events) window.addEventListener(name, load)
}
