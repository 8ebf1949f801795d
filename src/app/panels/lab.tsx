/** The layer lab: a linear solved by itself with any setting, on the inputs that a run saw; a setting that is liked goes to the plan. */
import { DropdownMenu } from 'radix-ui'
import { useId, useState } from 'react'
import type { Catalog } from '../../engine/job/catalog.ts'
import type { RunSpec } from '../../engine/job/job.ts'
import { bitsPerWeight, type LayerResult } from '../../engine/job/result.ts'
import { shortName } from '../charts/names.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { bestAtEqualStorage } from '../judge.ts'
import { alike, changesLinear, comparison, describeRun, type NewRun, optionGroups, type OptionGroup, optionsOf } from '../plan.ts'
import { Button } from './controls.tsx'
import { Field } from './fields.tsx'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { OptionField } from './option.tsx'
import { Scroll } from './tables.tsx'

interface LabProps {
  name: string
  /** The run whose inputs it is solved on; `id`: null for the Gram store. */
  run: { id: string | null; label: string }
  catalog: Catalog
}

/** What was tried, and what came of it. */
interface Tried {
  number: number
  setting: NewRun
  result: LayerResult
  /** It is in the plan. */
  added: boolean
}

export function Lab({ name, run, catalog }: LabProps) {
  const workbench = useWorkbench()
  const recommended = catalog.solvers.find((solver) => solver.recommended) ?? catalog.solvers[0]
  const ran = useView(({ view }) => view?.job.runs.find(({ id }) => id === run.id))
  // First against that run, with as many bits.
  const [setting, setSetting] = useState<NewRun>(() => alike(catalog, ran ?? { method: recommended.id, options: {} }, recommended.id))
  const [tried, setTried] = useState<Tried[]>([])
  const [state, setState] = useState<'idle' | 'solving' | ErrorData>('idle')
  const id = useId()
  const attempt = async () => {
    setState('solving')
    try {
      const result = await (run.id === null ? workbench.tryStored(name, setting) : workbench.tryLinear(name, run.id, setting))
      setTried((before) => [...before, { number: before.length, setting, result, added: false }])
      setState('idle')
    } catch (thrown) {
      setState(toErrorData(thrown))
    }
  }
  const keep = (one: Tried) => {
    workbench.addRuns([one.setting])
    setTried(tried.map((other) => (other === one ? { ...one, added: true } : other)))
  }
  return (
    <section className="panel lab" aria-labelledby={id}>
      <h2 id={id}>Layer lab</h2>
      <p className="hint">
        Solves this linear alone, on the inputs that {run.label} {run.id === null ? 'holds' : 'saw'}: runs, whose inputs came from their own
        layers, show slightly other errors elsewhere. The model does not run.
      </p>
      <Setting owner={run.id === null ? 'lab-store' : 'lab'} catalog={catalog} setting={setting} onChange={setSetting} />
      <div className="row">
        <Button kind="primary" icon="play" disabled={state === 'solving'} onClick={() => void attempt()}>
          Solve this linear
        </Button>
        {state === 'solving' && <span role="status">Solving …</span>}
      </div>
      {typeof state === 'object' && (
        <p className="field-problem error" role="alert">
          <Icon name="warning" />
          <span>
            {state.message} {state.hint}
          </span>
        </p>
      )}
      {tried.length > 0 && <Trials catalog={catalog} tried={tried} onKeep={keep} />}
    </section>
  )
}

interface SettingProps {
  /** Names its fields apart from those of another setting on the page. */
  owner: string
  catalog: Catalog
  setting: NewRun
  onChange: (setting: NewRun) => void
}

export function Setting({ owner, catalog, setting, onChange }: SettingProps) {
  const solver = catalog.solvers.find(({ id }) => id === setting.method)
  // Those of a run, such as the number of blocks, say nothing of a linear.
  const own = (groups: OptionGroup[]) =>
    groups.flatMap(({ specs }) => specs.filter((spec) => solver?.options.some(({ key }) => key === spec.key)))
  const { common, advanced } = optionGroups(catalog, setting)
  const fields = (groups: OptionGroup[]) =>
    own(groups).map((spec) => (
      <OptionField
        key={spec.key}
        owner={owner}
        spec={spec}
        options={setting.options}
        specs={optionsOf(catalog, setting.method)}
        onChange={(value) => onChange({ ...setting, options: { ...setting.options, [spec.key]: value } })}
      />
    ))
  const rest = fields(advanced)
  return (
    <>
      <div className="fields">
        <Field label="Method">
          {(control) => (
            <select
              {...control}
              className="input"
              value={setting.method}
              // Method against method, all else equal that both can do.
              onChange={({ target }) => onChange(comparison(catalog, [target.value], setting.options)[0])}
            >
              {catalog.solvers.map(({ id, label }) => (
                <option key={id} value={id}>
                  {label}
                </option>
              ))}
            </select>
          )}
        </Field>
        {fields(common)}
      </div>
      {rest.length > 0 && (
        <details className="more">
          <summary>More ({rest.length})</summary>
          <div className="fields">{rest}</div>
        </details>
      )}
    </>
  )
}

interface TrialsProps {
  catalog: Catalog
  tried: Tried[]
  onKeep: (one: Tried) => void
}

function Trials(props: TrialsProps) {
  const { catalog, tried } = props
  const workbench = useWorkbench()
  const [used, setUsed] = useState('')
  const use = (run: RunSpec, { setting, result: { name } }: Tried) => {
    workbench.overrideLinear(run.id, name, setting.options)
    setUsed(`In the plan, ${run.label} has ${wordsOf(catalog, setting)} for ${shortName(name)}.`)
  }
  return (
    <>
      <TrialTable {...props} onUse={use} />
      <p className="help">
        Bold: the smallest error of the settings that store as many bits per weight, within 2 %
        {tried.some(heldOutOf) && ', on the held-out tokens'}.
      </p>
      <p role="status" className={used && 'notice'}>
        {used}
      </p>
    </>
  )
}

const wordsOf = (catalog: Catalog, setting: NewRun) => describeRun(catalog, { id: '', label: '', ...setting })

function TrialTable({ catalog, tried, onKeep, onUse }: TrialsProps & { onUse: (run: RunSpec, one: Tried) => void }) {
  const planning = useView((state) => state.job !== null)
  const heldOut = tried.some(heldOutOf)
  const best = bestAtEqualStorage(
    tried.map((one) => ({ run: String(one.number), bitsPerWeight: bitsPerWeight([one.result]), value: measure(one) })),
  )
  return (
    <Scroll label="What was tried">
      <table>
        <thead>
          <tr>
            <th scope="col">Setting</th>
            <th scope="col" className="number">
              Error
            </th>
            {heldOut && (
              <th scope="col" className="number">
                Held out
              </th>
            )}
            <th scope="col" className="number">
              Bits per weight
            </th>
            <th scope="col" className="number">
              Time
            </th>
            <th scope="col">Plan</th>
          </tr>
        </thead>
        <tbody>
          {tried.map((one) => (
            <Row
              key={one.number}
              catalog={catalog}
              one={one}
              heldOut={heldOut}
              best={best.has(String(one.number))}
              onKeep={planning ? () => onKeep(one) : null}
              onUse={(run) => onUse(run, one)}
            />
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

const heldOutOf = ({ result }: Tried) => result.heldOutError !== undefined

/** What settings are compared by: tokens that the method did not see, where there are any. */
const measure = ({ result }: Tried) => result.heldOutError ?? result.relativeError

interface RowProps {
  catalog: Catalog
  one: Tried
  heldOut: boolean
  best: boolean
  /** Null without a plan. */
  onKeep: (() => void) | null
  onUse: (run: RunSpec) => void
}

function Row({ catalog, one: { setting, result, added }, heldOut, best, onKeep, onUse }: RowProps) {
  const unit = useView((state) => state.preferences.errorUnit)
  const solver = catalog.solvers.find(({ id }) => id === setting.method)!
  return (
    <tr>
      <td className="lab-setting">
        <b>{solver.label}</b> <span className="hint">{wordsOf(catalog, setting)}</span>
        {result.notes.map((note) => (
          <span key={note} className="lab-note">
            {note}
          </span>
        ))}
      </td>
      <td className={best && !heldOut ? 'number best' : 'number'}>{format.relativeError(result.relativeError, unit)}</td>
      {heldOut && <td className={best ? 'number best' : 'number'}>{format.relativeError(result.heldOutError ?? null, unit)}</td>}
      <td className="number">{format.bitsPerWeight(bitsPerWeight([result]))}</td>
      <td className="number">{format.duration(result.seconds)}</td>
      <td>
        <span className="lab-plan">
          <Button icon={added ? 'check' : 'add'} disabled={added || !onKeep} onClick={onKeep ?? undefined}>
            {added ? 'In the plan' : 'Add as a run'}
          </Button>
          <Override catalog={catalog} name={result.name} setting={setting} onUse={onUse} />
        </span>
      </td>
    </tr>
  )
}

interface OverrideProps {
  catalog: Catalog
  name: string
  setting: NewRun
  onUse: (run: RunSpec) => void
}

/** Sends the grid of a setting to a run of the plan, for this linear alone. */
function Override({ catalog, name, setting, onUse }: OverrideProps) {
  const runs = useView(({ job }) => job?.runs)
  if (!runs?.length) return null
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger className="button">
        <span>Use for this linear</span>
        <Icon name="down" />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4}>
          <DropdownMenu.Label className="menu-title">{wordsOf(catalog, setting)} here in</DropdownMenu.Label>
          {runs.map((run) => {
            const same = !changesLinear(catalog, run, name, setting.options)
            return (
              <DropdownMenu.Item key={run.id} disabled={same} onSelect={() => onUse(run)}>
                <RunMark run={run.id} /> {run.label}
                {same && <span className="hint">has that already</span>}
              </DropdownMenu.Item>
            )
          })}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  )
}
