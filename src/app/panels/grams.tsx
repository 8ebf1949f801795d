/** A Gram store beside the open model: any setting tried on its linears, side by side, without running the model. */
import { useId, useState } from 'react'
import type { Catalog } from '../../engine/job/catalog.ts'
import { bitsPerWeight, type LayerResult } from '../../engine/job/result.ts'
import { shortName } from '../charts/names.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { describeRun, type NewRun } from '../plan.ts'
import type { StoreTrial } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Field } from './fields.tsx'
import { Icon } from './icons.tsx'
import { Fact } from './gpu.tsx'
import { Setting } from './lab.tsx'
import { Scroll, usePages } from './tables.tsx'
import './drawer.css'

type Store = NonNullable<ReturnType<typeof useStore>>
const useStore = () => useView((state) => state.grams)

export function StorePanel() {
  const workbench = useWorkbench()
  const store = useStore()
  const catalog = useView((state) => state.catalog)
  const id = useId()
  if (!store || !catalog) return null
  const { name } = store.summary
  return (
    <section className="panel lab" aria-labelledby={id}>
      <div className="panel-head">
        <div>
          <h2 id={id}>Gram store {name}</h2>
          <p className="hint">Σ of every stage, kept by an earlier pass: linears are solved by it, and the model does not run.</p>
        </div>
        <Button kind="quiet" icon="cancel" onClick={workbench.closeStore}>
          Close the store
        </Button>
      </div>
      <StoreFacts store={store} />
      <Trying store={store} catalog={catalog} />
      {store.trials.length > 0 && <Trials store={store} catalog={catalog} />}
    </section>
  )
}

function StoreFacts({ store: { summary } }: { store: Store }) {
  const { inputs, calibration, text, heldOut, stages, bytes } = summary
  const linears = stages.reduce((sum, stage) => sum + stage.linears.length, 0)
  const made = inputs.kind === 'full-precision' ? '' : `, by ${inputs.method}`
  return (
    <dl className="facts wide">
      <Fact name="Inputs">
        {inputs.kind}
        {made}
      </Fact>
      <Fact name="Text">{text.name}</Fact>
      <Fact name="Tokens">
        {format.count(text.tokens)} ({format.count(calibration.samples)} × {format.count(calibration.length)})
      </Fact>
      <Fact name="Held out">{heldOut ? `${format.count(heldOut.tokens)} tokens` : 'none'}</Fact>
      <Fact name="Holds">
        {format.plural(linears, 'linear')}, {format.plural(stages.length, 'stage')}
      </Fact>
      <Fact name="Size">{format.bytes(bytes)}</Fact>
    </dl>
  )
}

/** Which linears a setting is tried on: all, those of a block, or those of one place in every block. */
function choicesOf({ summary: { stages } }: Store): { label: string; linears: string[] }[] {
  const all = stages.flatMap(({ linears }) => linears)
  const blocks = [...new Set(stages.map(({ block }) => block))]
  const ending = (name: string) => name.split('.').slice(-2).join('.')
  return [
    { label: 'All', linears: all },
    ...blocks.map((block) => ({
      label: `Block ${block}`,
      linears: stages.filter((stage) => stage.block === block).flatMap(({ linears }) => linears),
    })),
    ...[...new Set(all.map(ending))].map((end) => ({ label: end, linears: all.filter((name) => ending(name) === end) })),
  ]
}

function Trying({ store, catalog }: { store: Store; catalog: Catalog }) {
  const workbench = useWorkbench()
  const recommended = catalog.solvers.find((solver) => solver.recommended) ?? catalog.solvers[0]
  const [setting, setSetting] = useState<NewRun>({ method: recommended.id, options: {} })
  const choices = choicesOf(store)
  const [which, setWhich] = useState(choices[0].label)
  const chosen = choices.find(({ label }) => label === which) ?? choices[0]
  const current = store.trials.find(({ state }) => state === 'solving')
  return (
    <>
      <Setting owner="store" catalog={catalog} setting={setting} onChange={setSetting} />
      <div className="store-which">
        <Field label="Linears">
          {(control) => (
            <select {...control} className="input" value={chosen.label} onChange={({ target }) => setWhich(target.value)}>
              {choices.map(({ label, linears }) => (
                <option key={label} value={label}>
                  {label} ({linears.length})
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <div className="row">
        <Button
          kind="primary"
          icon="play"
          disabled={current !== undefined || !chosen.linears.length}
          onClick={() => void workbench.trySetting(setting, chosen.linears)}
        >
          Solve {format.plural(chosen.linears.length, 'linear')}
        </Button>
        {current && (
          <>
            <Button icon="cancel" onClick={workbench.stopTrying}>
              Stop
            </Button>
            <span className="figures">
              {current.results.length} of {current.wanted}
            </span>
          </>
        )}
      </div>
    </>
  )
}

const errorOf = ({ heldOutError, relativeError }: LayerResult) => heldOutError ?? relativeError

function Trials({ store: { summary, trials }, catalog }: { store: Store; catalog: Catalog }) {
  const found = trials.map(({ results }) => new Map(results.map((result) => [result.name, result])))
  const names = summary.stages.flatMap(({ linears }) => linears).filter((name) => found.some((results) => results.has(name)))
  const pages = usePages(names, 70)
  return (
    <>
      {trials.map((trial) => typeof trial.state === 'object' && <Failed key={trial.number} trial={trial} error={trial.state} />)}
      {names.length > 0 && (
        <Scroll label="What was tried on the store">
          <table className="sticky">
            <caption className="hint">Relative error{summary.heldOut ? ' on held-out windows' : ''}</caption>
            <thead>
              <tr>
                <th scope="col">Linear</th>
                {trials.map((trial) => (
                  <TrialHead key={trial.number} trial={trial} catalog={catalog} />
                ))}
              </tr>
            </thead>
            <tbody>
              {pages.rows.map((name) => (
                <LinearRow key={name} name={name} results={found.map((results) => results.get(name))} />
              ))}
            </tbody>
            <Totals trials={trials} />
          </table>
        </Scroll>
      )}
      {pages.controls}
    </>
  )
}

function Failed({ trial: { number }, error }: { trial: StoreTrial; error: { message: string; hint: string } }) {
  return (
    <p className="field-problem error" role="alert">
      <Icon name="warning" />
      <span>
        Setting {number + 1}: {error.message} {error.hint}
      </span>
    </p>
  )
}

function TrialHead({ trial: { number, setting }, catalog }: { trial: StoreTrial; catalog: Catalog }) {
  const solver = catalog.solvers.find(({ id }) => id === setting.method)!
  return (
    <th scope="col" className="number lab-setting">
      {number + 1}. {solver.label}
      <span className="hint"> {describeRun(catalog, { id: '', label: '', ...setting })}</span>
    </th>
  )
}

function LinearRow({ name, results }: { name: string; results: (LayerResult | undefined)[] }) {
  const workbench = useWorkbench()
  const unit = useView((state) => state.preferences.errorUnit)
  const errors = results.map((result) => (result ? errorOf(result) : null))
  const known = errors.filter((error) => error !== null)
  const least = known.length > 1 ? Math.min(...known) : null
  return (
    <tr>
      <td className="path">
        <button type="button" className="link" title={`Open ${shortName(name)}`} onClick={() => workbench.openLinear(name)}>
          {shortName(name)}
        </button>
      </td>
      {errors.map((error, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a column stays in its place
        <td key={i} className={error !== null && error === least ? 'number best' : 'number'}>
          {format.relativeError(error, unit)}
        </td>
      ))}
    </tr>
  )
}

function Totals({ trials }: { trials: StoreTrial[] }) {
  const workbench = useWorkbench()
  const unit = useView((state) => state.preferences.errorUnit)
  const [added, setAdded] = useState<number[]>([])
  const mean = ({ results }: StoreTrial) => results.reduce((sum, result) => sum + errorOf(result), 0) / results.length
  const figures: [string, (trial: StoreTrial) => string][] = [
    ['Mean of what is solved', (trial) => format.relativeError(trial.results.length ? mean(trial) : null, unit)],
    ['Bits per weight', ({ results }) => format.bitsPerWeight(results.length ? bitsPerWeight(results) : null)],
    ['Time', ({ results }) => format.duration(results.reduce((sum, { seconds }) => sum + seconds, 0))],
  ]
  return (
    <tfoot>
      {figures.map(([label, show]) => (
        <tr key={label}>
          <th scope="row">{label}</th>
          {trials.map((trial) => (
            <td key={trial.number} className="number">
              {show(trial)}
            </td>
          ))}
        </tr>
      ))}
      <tr>
        <th scope="row">Plan</th>
        {trials.map(({ number, setting }) => (
          <td key={number} className="number">
            <Button
              icon={added.includes(number) ? 'check' : 'add'}
              disabled={added.includes(number)}
              onClick={() => {
                workbench.addRuns([setting])
                setAdded([...added, number])
              }}
            >
              {added.includes(number) ? 'In the plan' : 'Add as a run'}
            </Button>
          </td>
        ))}
      </tr>
    </tfoot>
  )
}
