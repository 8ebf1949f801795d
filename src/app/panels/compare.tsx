/** The comparison panel: adds runs of several methods at once, or of presets, after the existing runs. */
import { useEffect, useId, useRef, useState } from 'react'
import type { Catalog } from '../../engine/job/catalog.ts'
import type { JobCheck } from '../../engine/job/check.ts'
import type { Job } from '../../engine/job/job.ts'
import type { Options, SolverInfo } from '../../options.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { comparison, missingRuns, type NewRun, optionValue, otherwise, presetRuns, presets, sharedSpecs } from '../plan.ts'
import { isError } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Choice } from './fields.tsx'
import { Icon } from './icons.tsx'
import './compare.css'

export function Compare({ catalog, job, onClose }: { catalog: Catalog; job: Job; onClose: () => void }) {
  const workbench = useWorkbench()
  const specs = sharedSpecs(catalog)
  const [ticked, setTicked] = useState<ReadonlySet<string>>(new Set())
  // As in the first run of the plan, which is what the others are compared with.
  const [shared, setShared] = useState<Options>(() =>
    Object.fromEntries(specs.map((spec) => [spec.key, optionValue(spec, job.runs[0]?.options ?? {})])),
  )
  const quotes = useQuotes(catalog, job, shared)
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [])

  const methods = catalog.solvers.map(({ id }) => id)
  const wanted = comparison(
    catalog,
    methods.filter((id) => ticked.has(id)),
    shared,
  )
  const missing = missingRuns(catalog, job, wanted)
  const add = (runs: NewRun[]) => {
    workbench.addRuns(runs)
    onClose()
  }
  const words =
    wanted.length === 0
      ? 'Select the methods to compare.'
      : missing.length < wanted.length
        ? `${wanted.length - missing.length} of ${wanted.length} in the plan already, with the same options. Existing runs do not change.`
        : 'Existing runs do not change.'

  return (
    <section className="panel compare" id="compare" aria-labelledby="compare-title">
      <div className="panel-head">
        <h2 id="compare-title" tabIndex={-1} ref={heading}>
          Compare methods
        </h2>
        <Button kind="quiet" icon="cancel" aria-label="Close the comparison" onClick={onClose} />
      </div>
      <ul className="presets">
        {presets.map((preset) => (
          <Preset key={preset.label} {...preset} wanted={presetRuns(catalog, preset)} catalog={catalog} job={job} onAdd={add} />
        ))}
      </ul>
      <ul className="methods" aria-label="Methods">
        {catalog.solvers.map((solver) => (
          <Method
            key={solver.id}
            solver={solver}
            quote={quotes.get(solver.id)}
            otherwise={otherwise(catalog, solver.id, shared)}
            ticked={ticked.has(solver.id)}
            onTick={(on) => setTicked(new Set(methods.filter((id) => (id === solver.id ? on : ticked.has(id)))))}
          />
        ))}
      </ul>
      <div className="row compare-foot">
        {specs.map((spec) => (
          <fieldset key={spec.key} className="field compare-shared" data-field={`compare.${spec.key}`}>
            <legend className="field-label">{spec.label}</legend>
            <Choice
              name={`compare-${spec.key}`}
              value={shared[spec.key] as number | string}
              choices={spec.choices}
              onChange={(value) => setShared({ ...shared, [spec.key]: value })}
            />
          </fieldset>
        ))}
        <Button kind="primary" icon="add" disabled={missing.length === 0} aria-describedby="compare-words" onClick={() => add(missing)}>
          {missing.length ? `Add ${format.plural(missing.length, 'run')}` : 'Add runs'}
        </Button>
        <p className="hint" id="compare-words">
          {words}
        </p>
      </div>
    </section>
  )
}

function Preset({
  label,
  summary,
  wanted,
  catalog,
  job,
  onAdd,
}: {
  label: string
  summary: string
  wanted: NewRun[]
  catalog: Catalog
  job: Job
  onAdd: (runs: NewRun[]) => void
}) {
  const id = useId()
  const missing = missingRuns(catalog, job, wanted)
  const there = wanted.length - missing.length
  return (
    <li>
      <Button icon="add" disabled={missing.length === 0} aria-describedby={id} onClick={() => onAdd(missing)}>
        {label}
      </Button>
      <span className="hint" id={id}>
        {summary}{' '}
        {missing.length === 0
          ? 'All in the plan already.'
          : `Adds ${format.plural(missing.length, 'run')}${there ? `; ${there} in the plan already` : ''}.`}
      </span>
    </li>
  )
}

/** What the engine says of one method; `problem`: why it says nothing. */
interface Quote {
  run: JobCheck['runs'][number] | null
  problem: string | null
}

function Method({
  solver,
  quote,
  otherwise,
  ticked,
  onTick,
}: {
  solver: SolverInfo
  /** Not there yet while it is being asked for. */
  quote: Quote | undefined
  /** What it does in place of what was asked for. */
  otherwise: string[]
  ticked: boolean
  onTick: (on: boolean) => void
}) {
  const id = useId()
  return (
    <li className={ticked ? 'method on' : 'method'}>
      <label className="method-head" htmlFor={id}>
        <input
          type="checkbox"
          id={id}
          checked={ticked}
          aria-describedby={`${id}-words`}
          onChange={(event) => onTick(event.target.checked)}
        />
        <b>{solver.label}</b>
      </label>
      <div id={`${id}-words`} className="method-words">
        <p>{solver.summary}</p>
        <p className="hint">{solver.advice}</p>
        <p className="method-cost figures">
          <Icon name="clock" />
          <span>
            {quote?.run
              ? `about ${format.duration(quote.run.forecast?.seconds ?? null)} here, ${format.bitsPerWeight(quote.run.bitsPerWeight)} bits per weight`
              : quote
                ? (quote.problem ?? 'cost not known')
                : 'cost not known yet'}
            {otherwise.length > 0 && `; with ${otherwise.join(', ')}`}
          </span>
        </p>
      </div>
    </li>
  )
}

/** What each method would cost on this model, text and GPU, with these options: the engine's own prediction, one by one. */
function useQuotes(catalog: Catalog, job: Job, shared: Options): ReadonlyMap<string, Quote> {
  const workbench = useWorkbench()
  const ready = useView((state) => state.check.state === 'done')
  const [quotes, setQuotes] = useState<ReadonlyMap<string, Quote>>(new Map())
  const { calibration, evaluation, seed, perplexityEvery } = job
  const question = JSON.stringify({ shared, calibration, evaluation, seed, perplexityEvery })
  // biome-ignore lint/correctness/useExhaustiveDependencies: the question says what the answer depends on
  useEffect(() => {
    // After the plan's own check, which waits until the typing is over.
    if (!ready) return
    let current = true
    const ask = async () => {
      const known = new Map<string, Quote>()
      for (const { id } of catalog.solvers) {
        // Alone, so that what stands against one method keeps no other from being told.
        const [run] = comparison(catalog, [id], shared)
        const answer = await workbench.quote([{ ...run, id, label: id }])
        if (!current) return
        known.set(id, {
          run: answer?.runs.find((each) => each.id === id) ?? null,
          problem: answer?.problems.find((problem) => isError(problem) && problem.field?.startsWith('runs'))?.message ?? null,
        })
        setQuotes(new Map(known))
      }
    }
    ask()
    return () => {
      current = false
    }
  }, [question, ready, workbench, catalog])
  return quotes
}
