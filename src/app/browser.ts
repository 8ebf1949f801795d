/** The page and the browser: theme, address, keys, leaving, drops. */
import { useEffect, useLayoutEffect, useRef, useState } from 'react'
import { addressOf, readAddress, samePlace, writeAddress } from './address.ts'
import { useView, useWorkbench } from './context.ts'
import { filesOfDrop } from './files.ts'
import * as format from './format.ts'
import { outcome } from './reduce.ts'
import { isBusy, isOpen, type State, steps } from './store/state.ts'

export function useTheme() {
  const theme = useView((state) => state.preferences.theme)
  // Before the effects that draw in its colours.
  useLayoutEffect(() => {
    document.documentElement.dataset.theme = theme
  }, [theme])
}

/** The address holds the step and the model of the Hub that is open; one that leads to nothing yet ends at the model. */
export function useAddress() {
  const workbench = useWorkbench()
  const address = useView((state) => writeAddress(addressOf(state)))
  const reading = useView((state) => state.model.state === 'reading')
  const [followed, setFollowed] = useState(false)
  useEffect(() => {
    const follow = () => {
      const { step, hub } = readAddress(window.location)
      const here = addressOf(workbench.store.getState())
      // A link opens the plan; what it led to beyond that is gone.
      if (hub && !samePlace(hub, here.hub)) workbench.open({ kind: 'hub', ...hub }, step === 'model' ? 'model' : 'plan')
      else if (!hub && here.hub) workbench.close()
      else if (step) workbench.go(step)
      // What the page could not follow, it does not claim either.
      showAddress(workbench.store.getState(), 'replaceState')
    }
    workbench.arrived.then(() => {
      follow()
      setFollowed(true)
    })
    window.addEventListener('popstate', follow)
    return () => window.removeEventListener('popstate', follow)
  }, [workbench])
  const wasReading = useRef(reading)
  // biome-ignore lint/correctness/useExhaustiveDependencies: the address as rendered may be older than the state
  useEffect(() => {
    if (!followed) return
    const state = workbench.store.getState()
    // What comes of reading, e.g. the name that a repository has now, belongs to the entry that reading began.
    const settled = wasReading.current && window.location.hash === `#${addressOf(state).step}`
    showAddress(state, settled ? 'replaceState' : 'pushState')
    wasReading.current = reading
  }, [address, followed, reading, workbench])
}

function showAddress(state: State, how: 'replaceState' | 'pushState') {
  const { href } = new URL(window.location.pathname + writeAddress(addressOf(state)), window.location.href)
  if (href !== window.location.href) window.history[how](null, '', href)
}

export function useKeys(toggleHelp: () => void) {
  const workbench = useWorkbench()
  const toggle = useRef(toggleHelp)
  toggle.current = toggleHelp
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const state = workbench.store.getState()
      if (!state.preferences.keys || event.ctrlKey || event.metaKey || event.altKey) return
      if (event.target instanceof Element && event.target.closest('input:not([type=radio],[type=checkbox]), select, textarea, [role=menu]'))
        return
      const step = steps[Number(event.key) - 1]
      if (step) {
        if (isOpen(state, step)) workbench.go(step)
      } else if (event.key === '?') toggle.current()
      else if (event.key === 'p' && isBusy(state) && state.asked === null) {
        if (state.view!.phase === 'paused') workbench.resume()
        else if (state.view!.phase === 'running') workbench.pause()
      }
    }
    window.addEventListener('keydown', press)
    return () => window.removeEventListener('keydown', press)
  }, [workbench])
}

/** While a job runs: leaving asks for confirmation, the title shows progress, the screen stays on if the browser allows it. */
export function useLeaving() {
  const busy = useView(isBusy)
  const title = useView(({ view }) => {
    if (!view) return ''
    if (view.phase === 'over') return outcome(view)
    return `${view.phase === 'paused' ? 'Paused, ' : ''}${format.percent(view.progress.done)}`
  })
  useEffect(() => {
    document.title = title ? `${title} · QuantEase Workbench` : 'QuantEase Workbench'
  }, [title])
  useEffect(() => {
    if (!busy) return
    const ask = (event: BeforeUnloadEvent) => event.preventDefault()
    window.addEventListener('beforeunload', ask)
    // A laptop that falls asleep stops the GPU; browsers that refuse the lock go on as before.
    let lock: Promise<WakeLockSentinel | null> | undefined
    // It ends whenever the tab is hidden.
    const stayAwake = () => {
      if (document.visibilityState === 'visible') lock = navigator.wakeLock?.request('screen').catch(() => null)
    }
    stayAwake()
    document.addEventListener('visibilitychange', stayAwake)
    return () => {
      window.removeEventListener('beforeunload', ask)
      document.removeEventListener('visibilitychange', stayAwake)
      lock?.then((held) => held?.release())
    }
  }, [busy])
}

/** Accepts files dropped anywhere on the page. */
export function useDrops(): boolean {
  const workbench = useWorkbench()
  const [dragging, setDragging] = useState(false)
  useEffect(() => {
    let depth = 0
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files')
    const enter = (event: DragEvent) => {
      if (carriesFiles(event) && depth++ === 0) setDragging(!isBusy(workbench.store.getState()))
    }
    const leave = (event: DragEvent) => {
      if (carriesFiles(event) && --depth <= 0) {
        depth = 0
        setDragging(false)
      }
    }
    const over = (event: DragEvent) => {
      if (carriesFiles(event)) event.preventDefault()
    }
    const drop = (event: DragEvent) => {
      if (!event.dataTransfer || !carriesFiles(event)) return
      event.preventDefault()
      depth = 0
      setDragging(false)
      if (!isBusy(workbench.store.getState())) workbench.take(filesOfDrop(event.dataTransfer))
    }
    const listeners = { dragenter: enter, dragleave: leave, dragover: over, drop }
    for (const [name, listener] of Object.entries(listeners)) window.addEventListener(name, listener as EventListener)
    return () => {
      for (const [name, listener] of Object.entries(listeners)) window.removeEventListener(name, listener as EventListener)
    }
  }, [workbench])
  return dragging
}
