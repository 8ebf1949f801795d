/** The page around the steps: header, stepper, messages, questions, and what screen readers hear. */
import { Tooltip } from 'radix-ui'
import { Component, type ReactNode, StrictMode, Suspense, useEffect, useRef, useState } from 'react'
import { createRoot } from 'react-dom/client'
import type { Engine } from '../engine/hosts/client.ts'
import { type ErrorCode, type ErrorData, toErrorData } from '../errors.ts'
import './tokens.css'
import './base.css'
import { useAddress, useDrops, useKeys, useLeaving, useTheme } from './browser.ts'
import { useView, useWorkbench, WorkbenchContext } from './context.ts'
import { Header } from './header.tsx'
import { Button } from './panels/controls.tsx'
import { Remedies } from './panels/hub-model.tsx'
import { ModelPanel } from './panels/model.tsx'
import { ErrorNote } from './panels/problems.tsx'
import { loadZip } from './files.ts'
import { later, loadOnTouch } from './later.ts'
import { usePointing } from './pointing.ts'
import { Stepper } from './stepper.tsx'
import { createWorkbench } from './store.ts'
import './app.css'

const faultTitles: Partial<Record<ErrorCode, string>> = {
  'journal-busy': 'Another tab is running a job',
  'journal-mismatch': 'This job cannot be resumed here',
}
// What comes after the first step comes when it is needed, or when the person touches the page.
const panels = {
  model: ModelPanel,
  plan: later(async () => (await import('./panels/plan.tsx')).PlanPanel),
  run: later(async () => (await import('./panels/run.tsx')).RunPanel),
  results: later(async () => (await import('./panels/results.tsx')).ResultsPanel),
}

const Question = later(async () => (await import('./panels/question.tsx')).Question)
const Drawer = later(async () => (await import('./panels/drawer.tsx')).Drawer)

/** The whole page, on any implementation of the engine. */
export function mount(root: HTMLElement, engine: Engine) {
  loadOnTouch(engine.load, loadZip)
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
  const step = useView((state) => state.step)
  const [help, setHelp] = useState(false)
  const main = useRef<HTMLElement>(null)
  useTheme()
  useAddress()
  useKeys(() => setHelp((open) => !open))
  useLeaving()
  usePointing()
  const dragging = useDrops()

  const Panel = panels[step]
  return (
    <>
      <Header help={help} onHelp={setHelp} onSkip={() => main.current?.focus()} />
      <Stepper />
      <main ref={main} tabIndex={-1} className={`step-${step}`}>
        <FaultNote />
        <DroppedText />
        <Boundary key={step}>
          <Suspense fallback={<p className="hint">Loading …</p>}>
            <Panel />
            <Opened />
          </Suspense>
        </Boundary>
      </main>
      {dragging && (
        <div className="drop-here" aria-hidden="true">
          Drop to open
        </div>
      )}
      <Announcer />
      <LinearDrawer />
      <Asked />
    </>
  )
}

/** Beside what opens a step, in the same moment: it is read from its heading on. The step that the page begins with is not. */
function Opened() {
  useEffect(() => {
    const first = !begun
    begun = true
    if (first) return
    window.scrollTo({ top: 0 })
    document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true })
  }, [])
  return null
}
let begun = false

function FaultNote() {
  const workbench = useWorkbench()
  const fault = useView((state) => state.fault)
  if (!fault) return null
  return (
    <Shown key={fault.message}>
      <ErrorNote title={fault.title ?? faultTitles[fault.code] ?? 'That did not work'} error={fault} onClose={workbench.dismissFault}>
        {fault.hub && <Remedies place={fault.hub} code={fault.code} again={() => workbench.open({ kind: 'hub', ...fault.hub! }, 'plan')} />}
      </ErrorNote>
    </Shown>
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

/** A linear, looked at beside the step that it was opened from. */
function LinearDrawer() {
  const looked = useView((state) => state.linear)
  if (looked === null) return null
  return (
    <Boundary key={looked.name}>
      <Suspense fallback={null}>
        <Drawer {...looked} />
      </Suspense>
    </Boundary>
  )
}

function Asked() {
  const question = useView((state) => state.question)
  const [asked, setAsked] = useState(false)
  // Once there was one, it stays for its way out.
  if (question && !asked) setAsked(true)
  return (
    asked && (
      <Suspense>
        <Question />
      </Suspense>
    )
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

/** Stage changes and finished runs, spoken once each. */
function Announcer() {
  const words = useView((state) => state.spoken)
  return (
    <p className="sr" role="status" aria-live="polite" data-testid="announcer">
      {words}
    </p>
  )
}
