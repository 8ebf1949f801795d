/** The page around the steps: header, stepper, keyboard, drag and drop, and announcements for screen readers. */
import { AlertDialog, DropdownMenu, Popover, Tooltip } from 'radix-ui'
import { Component, type ReactNode, StrictMode, useEffect, useRef, useState } from 'react'
import { createRoot } from 'react-dom/client'
import type { Engine } from '../engine/hosts/client.ts'
import { type ErrorCode, type ErrorData, toErrorData } from '../errors.ts'
import './tokens.css'
import './base.css'
import { addressOf, readAddress, samePlace, writeAddress } from './address.ts'
import { useView, useWorkbench, WorkbenchContext } from './context.ts'
import { filesOfDrop } from './files.ts'
import * as format from './format.ts'
import { Button, Icon, Switch } from './panels/controls.tsx'
import { GpuChip } from './panels/gpu.tsx'
import { Remedies } from './panels/hub-model.tsx'
import { ModelPanel } from './panels/model.tsx'
import { PlanPanel } from './panels/plan.tsx'
import { ErrorNote } from './panels/problems.tsx'
import { ResultsPanel } from './panels/results.tsx'
import { RunPanel } from './panels/run.tsx'
import { outcome } from './reduce.ts'
import { isBusy, isOpen, type State, type Step, steps, type Theme } from './store/state.ts'
import { createWorkbench } from './store.ts'
import './app.css'

const titles: Record<Step, string> = { model: 'Model', plan: 'Plan', run: 'Run', results: 'Results' }
const faultTitles: Partial<Record<ErrorCode, string>> = {
  'journal-busy': 'Another tab is running a job',
  'journal-mismatch': 'This job cannot be resumed here',
}
const panels = { model: ModelPanel, plan: PlanPanel, run: RunPanel, results: ResultsPanel }

/** The whole page, on any implementation of the engine. */
export function mount(root: HTMLElement, engine: Engine) {
  createRoot(root).render(
    <StrictMode>
      <WorkbenchContext value={createWorkbench(engine)}>
        <Tooltip.Provider>
          <Page />
        </Tooltip.Provider>
      </WorkbenchContext>
    </StrictMode>,
  )
}

function Page() {
  const workbench = useWorkbench()
  const step = useView((state) => state.step)
  const fault = useView((state) => state.fault)
  const [help, setHelp] = useState(false)
  const main = useRef<HTMLElement>(null)
  useTheme()
  useAddress()
  useKeys(() => setHelp((open) => !open))
  useLeaving()
  const dragging = useDrops()

  // A step that opens is read from its heading on.
  const shown = useRef(step)
  useEffect(() => {
    if (shown.current === step) return
    shown.current = step
    window.scrollTo({ top: 0 })
    main.current?.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true })
  }, [step])

  const Panel = panels[step]
  return (
    <>
      <header className="header">
        <button type="button" className="skip" onClick={() => main.current?.focus()}>
          Skip to content
        </button>
        <span className="name">QuantEase Workbench</span>
        <div className="header-tools">
          <GpuChip />
          <ThemeMenu />
          <Help open={help} onOpenChange={setHelp} />
        </div>
      </header>
      <Stepper />
      <main ref={main} tabIndex={-1} className={`step-${step}`}>
        {fault && (
          <Shown key={fault.message}>
            <ErrorNote title={fault.title ?? faultTitles[fault.code] ?? 'That did not work'} error={fault} onClose={workbench.dismissFault}>
              {fault.hub && (
                <Remedies place={fault.hub} code={fault.code} again={() => workbench.open({ kind: 'hub', ...fault.hub! }, 'plan')} />
              )}
            </ErrorNote>
          </Shown>
        )}
        <DroppedText />
        <Boundary key={step}>
          <Panel />
        </Boundary>
      </main>
      {dragging && (
        <div className="drop-here" aria-hidden="true">
          Drop to open
        </div>
      )}
      <Announcer />
      <Question />
    </>
  )
}

/** Comes into view by itself: what it tells of may have happened far below. */
function Shown({ children }: { children: ReactNode }) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    // Newer browsers return a promise, which is nothing for React to call later.
    place.current?.scrollIntoView({ block: 'center' })
  }, [])
  return <div ref={place}>{children}</div>
}

/** Says what a dropped text is used for. */
function DroppedText() {
  const workbench = useWorkbench()
  const dropped = useView((state) => state.dropped)
  if (!dropped) return null
  return (
    <Shown key={dropped.text.id}>
      <section className="notice row" aria-label="The dropped text">
        <span className="grow">
          <b>{dropped.text.label}</b> is the {dropped.before ? 'calibration' : 'evaluation'} text now.
        </span>
        {dropped.before && <Button onClick={workbench.evaluateOnDropped}>Evaluate on it instead</Button>}
        <Button kind="quiet" icon="cancel" aria-label="Close this message" onClick={workbench.dismissDropped} />
      </section>
    </Shown>
  )
}

/** Asks before what cannot be undone. */
function Question() {
  const workbench = useWorkbench()
  const question = useView((state) => state.question)
  return (
    <AlertDialog.Root open={question !== null} onOpenChange={(open) => !open && workbench.answer(false)}>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="overlay" />
        <AlertDialog.Content className="dialog">
          <AlertDialog.Title>{question?.title}</AlertDialog.Title>
          <AlertDialog.Description asChild>
            <div>
              {question?.lines.map((line) => (
                <p key={line}>{line}</p>
              ))}
            </div>
          </AlertDialog.Description>
          <div className="row">
            <AlertDialog.Cancel asChild>
              <Button>Cancel</Button>
            </AlertDialog.Cancel>
            <Button kind="primary" onClick={() => workbench.answer(true)}>
              {question?.action ?? ''}
            </Button>
          </div>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  )
}

/** Keeps a bug in one panel from affecting the rest of the page and the job. */
class Boundary extends Component<{ children: ReactNode }, { error: ErrorData | null }> {
  override state = { error: null as ErrorData | null }

  static getDerivedStateFromError(thrown: unknown) {
    return { error: toErrorData(thrown) }
  }

  override render() {
    return this.state.error ? <ErrorNote title="This part of the page stopped working" error={this.state.error} /> : this.props.children
  }
}

// ---------------------------------------------------------------- header

function ThemeMenu() {
  const workbench = useWorkbench()
  const theme = useView((state) => state.preferences.theme)
  const icon = { system: 'system', light: 'sun', dark: 'moon' } as const
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="button quiet bare" aria-label={`Theme: ${theme}`} title="Theme">
        <Icon name={icon[theme]} />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4}>
          <DropdownMenu.RadioGroup value={theme} onValueChange={(value) => workbench.prefer({ theme: value as Theme })}>
            {(['system', 'light', 'dark'] as const).map((value) => (
              <DropdownMenu.RadioItem key={value} value={value}>
                <Icon name={icon[value]} />
                {value[0].toUpperCase() + value.slice(1)}
                {value === theme && <Icon name="check" />}
              </DropdownMenu.RadioItem>
            ))}
          </DropdownMenu.RadioGroup>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  )
}

const keyList: [string, string][] = [
  ['1 2 3 4', 'Model, Plan, Run, Results'],
  ['p', 'Pause or resume the job'],
  ['?', 'Show or hide this list'],
  ['Tab', 'Next control'],
  ['Esc', 'Close what is open'],
  ['← →', 'Step through the values of a chart that has the focus'],
  ['← → ↑ ↓', 'Step through the cells of the error map'],
]

function Help({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const workbench = useWorkbench()
  const keys = useView((state) => state.preferences.keys)
  return (
    <Popover.Root open={open} onOpenChange={onOpenChange}>
      <Popover.Trigger className="button quiet bare" aria-label="Help" title="Help">
        <b aria-hidden="true">?</b>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover" align="end" sideOffset={8} collisionPadding={8} aria-label="Help">
          <h2>How it works</h2>
          <p>
            Open a model, plan one or more runs, start them, compare. Each run replaces the weights of every linear layer by a few bits
            each; the charts show what that does to the layers and to the model. Everything happens on this machine.
          </p>
          <h2>Keys</h2>
          <dl className="keys">
            {keyList.map(([key, what]) => (
              <div key={key}>
                <dt>
                  {key.split(' ').map((each) => (
                    <kbd key={each}>{each}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
          <div className="row">
            <Switch id="single-keys" checked={keys} onChange={(on) => workbench.prefer({ keys: on })} />
            <label htmlFor="single-keys">Single keys act on the page</label>
          </div>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}

function Stepper() {
  const workbench = useWorkbench()
  const state = useView((all) => all)
  return (
    <nav className="stepper" aria-label="Steps">
      <ol>
        {steps.map((step, i) => {
          const open = isOpen(state, step)
          const word = stepState(state, step)
          const inside = (
            <>
              <span className="step-number" aria-hidden="true">
                {word === 'done' ? <Icon name="check" /> : i + 1}
              </span>
              <span>{titles[step]}</span>
              {step === 'run' && isBusy(state) && (
                <span className="step-progress figures">{format.percent(state.view!.progress.done)}</span>
              )}
            </>
          )
          return (
            <li key={step} className={`${state.step === step ? 'here' : ''} ${word}`}>
              {open ? (
                <a
                  href={`#${step}`}
                  aria-current={state.step === step ? 'step' : undefined}
                  onClick={(event) => {
                    event.preventDefault()
                    workbench.go(step)
                  }}
                >
                  {inside}
                </a>
              ) : (
                <span className="closed">
                  {inside}
                  <span className="sr">, nothing to show yet</span>
                </span>
              )}
              {step === 'run' && isBusy(state) && <span className="step-bar" style={{ width: `${state.view!.progress.done * 100}%` }} />}
            </li>
          )
        })}
      </ol>
    </nav>
  )
}

function stepState(state: State, step: Step): 'done' | 'active' | '' {
  switch (step) {
    case 'model':
      return isOpen(state, 'plan') ? 'done' : ''
    case 'plan':
      return state.view && isOpen(state, 'plan') ? 'done' : ''
    case 'run':
      return isBusy(state) ? 'active' : state.view ? 'done' : ''
    case 'results':
      return ''
  }
}

/** Stage changes and finished runs, spoken once each. */
function Announcer() {
  const words = useView((state) => state.spoken)
  return (
    <p className="sr" role="status" aria-live="polite" data-testid="announcer">
      {words}
    </p>
  )
}

// ---------------------------------------------------------------- the page and the browser

function useTheme() {
  const theme = useView((state) => state.preferences.theme)
  useEffect(() => {
    document.documentElement.dataset.theme = theme
  }, [theme])
}

/** The address holds the step and the model of the Hub that is open; one that leads to nothing yet ends at the model. */
function useAddress() {
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

function useKeys(toggleHelp: () => void) {
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
function useLeaving() {
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
function useDrops(): boolean {
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
