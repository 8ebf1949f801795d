/** The drawer of one linear: what is known of it, run by run. */
import { Dialog } from 'radix-ui'
import { useEffect, useId, useRef, useState } from 'react'
import type { LinearLook, Seen } from '../../engine/hosts/client.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { CodeUse, Scales, SigmaDiagonal, WeightHistogram } from '../charts/linear.tsx'
import { OutlierMap } from '../charts/outlier-map.tsx'
import { type Shown, shownOf } from '../charts/linear-frame.tsx'
import { LinearObjective } from '../charts/objective.tsx'
import { placeIn, shortName } from '../charts/names.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import type { JobView } from '../reduce.ts'
import { useOrdered } from '../shown.ts'
import type { Looked } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Choice } from './fields.tsx'
import { Lab } from './lab.tsx'
import { Known } from './layers.tsx'
import { OpenShown } from './open-shown.tsx'
import './drawer.css'

export function Drawer(looked: Looked) {
  const view = useView((state) => state.view)
  return view ? <Ordered {...looked} view={view} /> : <Side {...looked} view={null} />
}

const Ordered = ({ view, ...looked }: Looked & { view: JobView }) => <Side {...looked} view={useOrdered(view)} />

function Side({ name, run, view }: Looked & { view: JobView | null }) {
  const workbench = useWorkbench()
  const words = useId()
  // The dialog itself only knows a trigger of its own.
  const opener = useRef(document.activeElement)
  const giveBack = (event: Event) => {
    event.preventDefault()
    if (opener.current instanceof HTMLElement) opener.current.focus()
  }
  return (
    <Dialog.Root open onOpenChange={(open) => !open && workbench.closeLinear()}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="drawer" aria-describedby={words} onCloseAutoFocus={giveBack}>
          <div className="drawer-head">
            <div>
              <Dialog.Title className="drawer-title">{shortName(name)}</Dialog.Title>
              <p className="hint" id={words}>
                {facts(name, view)}
              </p>
            </div>
            <Dialog.Close asChild>
              <Button kind="quiet" icon="cancel" aria-label={`Close ${shortName(name)}`} />
            </Dialog.Close>
          </div>
          {view && <Runs view={view} name={name} />}
          <Looks view={view} name={name} run={run} />
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

/** "Block 3, self_attn.q_proj: 4,096 × 4,096, outputs × inputs" */
function facts(name: string, view: JobView | null): string {
  const { block, module } = placeIn(name)
  const layer = view?.runs.flatMap(({ layers }) => layers).find((one) => one.name === name)
  return `Block ${block}, ${module}${layer ? `: ${format.shape(layer.shape)}, outputs by inputs` : ''}`
}

/** Results of every run that has solved it. */
function Runs({ view, name }: { view: JobView; name: string }) {
  const layers = view.runs.map((run) => run.layers.find((layer) => layer.name === name))
  if (!layers.some(Boolean)) return <p className="hint">No run has solved it yet.</p>
  return (
    <>
      <section className="panel" aria-label="Results by run">
        <Known view={view} name={name} layers={layers} />
      </section>
      <LinearObjective view={view} name={name} />
    </>
  )
}

// ---------------------------------------------------------------- weights, codes, Σ

type Asked = { state: 'asking' } | { state: 'there'; look: LinearLook } | { state: 'failed'; error: ErrorData }

/** What the engine finds of it in the model and in what was kept. */
function useLook(name: string, view: JobView | null): Asked {
  const workbench = useWorkbench()
  const [asked, setAsked] = useState<Asked>({ state: 'asking' })
  const over = view?.report?.started
  const opened = useView(({ model }) => (model.state === 'ready' ? model.summary : null))
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked anew when the job is over, or a model is open
  useEffect(() => {
    let current = true
    const tell = (next: Asked) => current && setAsked(next)
    workbench.look(name).then(
      (look) => tell({ state: 'there', look }),
      (thrown) => tell({ state: 'failed', error: toErrorData(thrown) }),
    )
    return () => {
      current = false
    }
  }, [workbench, name, over, opened])
  return asked
}

function Looks({ view, name, run }: Looked & { view: JobView | null }) {
  const asked = useLook(name, view)
  const [picked, setPicked] = useState<string | null>(null)
  if (asked.state === 'asking') return <p role="status">Reading its weights …</p>
  if (asked.state === 'failed') return <Missing what="Weights and codes" error={asked.error} />
  const { look } = asked
  const choices = shownOf(look, view?.runs ?? [])
  const shown =
    choices.find(({ label }) => label === picked) ?? choices.find((one) => run !== null && one.run === run) ?? choices.at(-1) ?? null
  return (
    <>
      {choices.length > 1 && shown && (
        <div className="row tight">
          <span id="drawer-run">Levels, codes, scales and Σ of</span>
          <fieldset aria-labelledby="drawer-run">
            <Choice
              name="drawer-run"
              value={shown.label}
              choices={choices.map(({ label }) => ({ value: label, label }))}
              onChange={setPicked}
            />
          </fieldset>
        </div>
      )}
      <Weights look={look} shown={shown} />
      {look.dtype === null && <OpenShown />}
      {shown && <Codes look={look} shown={shown} />}
      <LabOf look={look} view={view} name={name} shown={shown} />
      <Reasons look={look} view={view} />
    </>
  )
}

/** Codes of a run, or of the model itself. */
function solvedOf(look: LinearLook, shown: Shown | null) {
  if (!shown) return null
  return shown.run === null ? look.stored : seenOf(look.runs[shown.run].solved)
}

const seenOf = <T,>(one: Seen<T>): T | null => ('seen' in one ? one.seen : null)

function Weights({ look, shown }: { look: LinearLook; shown: Shown | null }) {
  if ('missing' in look.weights) return <Missing what="The weights" error={look.weights.missing} />
  const { seen } = look.weights
  const solved = solvedOf(look, shown)
  return (
    <>
      <WeightHistogram weights={seen} solved={solved} shown={shown} />
      <OutlierMap look={seen} solved={solved} shown={shown} />
    </>
  )
}

function Codes({ look, shown }: { look: LinearLook; shown: Shown }) {
  const solved = solvedOf(look, shown)
  const sigma = shown.run === null ? null : seenOf(look.runs[shown.run].sigma)
  return (
    <>
      {solved && <CodeUse solved={solved} shown={shown} />}
      {solved && <Scales solved={solved} shown={shown} />}
      {sigma && <SigmaDiagonal sigma={sigma} shown={shown} />}
    </>
  )
}

/** On the inputs of the run that is shown, or else of the last whose Σ is in memory. */
function LabOf({ look, view, name, shown }: { look: LinearLook; view: JobView | null; name: string; shown: Shown | null }) {
  const catalog = useView((state) => state.catalog)
  const store = useView((state) => state.grams?.summary.name ?? null)
  const able = view?.runs.filter(({ id }) => 'seen' in (look.runs[id]?.sigma ?? {})) ?? []
  const run = able.find(({ id }) => id === shown?.run) ?? able.at(-1)
  if (!catalog || 'missing' in look.weights) return null
  return (
    <>
      {run && view?.report && <Lab name={name} run={run} catalog={catalog} />}
      {store !== null && look.store && 'seen' in look.store && (
        <>
          <SigmaDiagonal sigma={look.store.seen} shown={{ run: null, label: store }} />
          <Lab name={name} run={{ id: null, label: `the Gram store ${store}` }} catalog={catalog} />
        </>
      )}
      {look.store && 'missing' in look.store && <Missing what="Σ of the Gram store" error={look.store.missing} />}
    </>
  )
}

/** What is not there, and why, once for all runs that lack it for the same reason. */
function Reasons({ look, view }: { look: LinearLook; view: JobView | null }) {
  const missing = (view?.runs ?? []).flatMap(({ id, label }) => {
    const { solved, sigma } = look.runs[id] ?? {}
    return [...reason(solved, 'Codes', label), ...reason(sigma, 'Σ', label)]
  })
  const keys = [...new Set(missing.map(({ what, error }) => `${what}: ${error.message} ${error.hint}`))]
  return (
    <>
      {keys.map((key) => {
        const all = missing.filter(({ what, error }) => `${what}: ${error.message} ${error.hint}` === key)
        return <Missing key={key} what={`${all[0].what} of ${all.map(({ label }) => label).join(', ')}`} error={all[0].error} />
      })}
    </>
  )
}

const reason = (one: Seen<unknown> | undefined, what: string, label: string) =>
  one && 'missing' in one ? [{ what, label, error: one.missing }] : []

function Missing({ what, error }: { what: string; error: ErrorData }) {
  return (
    <p className="hint">
      <b>{what}:</b> {error.message} {error.hint}
    </p>
  )
}
