/** The Plan step: runs, options and texts. All options come from the catalog. */
import { DropdownMenu } from 'radix-ui'
import { useRef, useState } from 'react'
import type { Catalog } from '../../engine/job/catalog.ts'
import type { JobCheck } from '../../engine/job/check.ts'
import type { Job, RunSpec } from '../../engine/job/job.ts'
import type { Problem } from '../../engine/job/model.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { describeDifference, describeRun, methodGroups, methodName, type OptionGroup, optionGroups, optionsOf } from '../plan.ts'
import { isAtField, knownOf, mayPass, mergeProblems, placeOf, problemsOf } from '../check.ts'
import { isBusy, isError } from '../store/state.ts'
import { Compare } from './compare.tsx'
import { Button } from './controls.tsx'
import { Field } from './fields.tsx'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { FormatsCard } from './formats.tsx'
import { ReplayNote, UnfinishedJob } from './jobs.tsx'
import { OptionField } from './option.tsx'
import { BudgetOf } from './budget.tsx'
import { Overrides } from './overrides.tsx'
import { ProblemList } from './problems.tsx'
import { CalibrationCard, EvaluationCard } from './texts.tsx'
import './plan.css'
import { chosenFormats } from '../formats.ts'
import type { OptionSpec } from '../../options.ts'

export function PlanPanel() {
  const catalog = useView((state) => state.catalog)
  const job = useView((state) => state.job)
  const model = useView((state) => state.model)
  const [comparing, setComparing] = useState(false)
  const compare = useRef<HTMLButtonElement>(null)
  if (!catalog || !job || model.state !== 'ready') return null
  const measuring = model.summary.quantized !== null
  return (
    <>
      <div className="panel-head">
        <h1 tabIndex={-1}>{measuring ? `Measure the perplexity of ${model.summary.name}` : `Plan for ${model.summary.name}`}</h1>
        {!measuring && (
          <button
            type="button"
            ref={compare}
            className="button"
            aria-expanded={comparing}
            aria-controls="compare"
            onClick={() => setComparing(!comparing)}
          >
            <Icon name="compare" />
            <span>Compare methods</span>
          </button>
        )}
      </div>
      <ReplayNote />
      <RecalledNote />
      {!measuring && <UnfinishedJob compact />}
      {!measuring && comparing && (
        <Compare
          catalog={catalog}
          job={job}
          onClose={() => {
            setComparing(false)
            compare.current?.focus()
          }}
        />
      )}
      {!measuring && (
        <div className={job.runs.length > 3 ? 'plan-grid many' : 'plan-grid'}>
          <RunCards catalog={catalog} job={job} />
          <RunOptions catalog={catalog} job={job} />
          <div className="plan-texts">
            <CalibrationCard job={job} model={model.summary} />
            <EvaluationCard job={job} model={model.summary} measuring={false} />
          </div>
          <FormatsCard catalog={catalog} job={job} />
        </div>
      )}
      {measuring && <EvaluationCard job={job} model={model.summary} measuring />}
      <StartBar catalog={catalog} job={job} measuring={measuring} />
    </>
  )
}

/** The plan is not the usual first one. */
function RecalledNote() {
  const workbench = useWorkbench()
  const recalled = useView((state) => state.recalled && !state.replay)
  return (
    recalled && (
      <p className="hint row">
        As you left it.
        <Button onClick={workbench.planAnew}>Begin anew</Button>
      </p>
    )
  )
}

// ---------------------------------------------------------------- runs

function RunCards({ catalog, job }: { catalog: Catalog; job: Job }) {
  const workbench = useWorkbench()
  const chosen = useView((state) => state.chosen)
  const done = useDone()
  const problems = useView((state) => state.check)
  // The last figures stay, greyed, until there are others; of a run that is another one now, none do.
  const last = useRef<{ job: Job; result: JobCheck } | null>(null)
  if (done) last.current = { job, result: done }
  return (
    <section className="runs" aria-labelledby="runs-title">
      <h2 id="runs-title">Runs</h2>
      <ul className="cards">
        {job.runs.map((run, index) => {
          const predicted = knownOf(last.current, job, run.id)
          const wrong = problemsOf(problems).some((problem) => isError(problem) && problem.field?.startsWith(`runs.${index}.`))
          return (
            <li key={run.id} className={`card ${run.id === chosen ? 'on' : ''}`}>
              <button type="button" className="card-main" aria-pressed={run.id === chosen} onClick={() => workbench.choose(run.id)}>
                <span className="card-title">
                  <RunMark run={run.id} />
                  <b>{run.label}</b>
                  {wrong && (
                    <span className="bad">
                      <Icon name="warning" /> see options
                    </span>
                  )}
                </span>
                <span className="hint">{index ? describeDifference(catalog, job.runs[0], run) : describeRun(catalog, run)}</span>
                <span className={done ? 'card-figures' : 'card-figures stale'}>
                  <Figure name="bits/weight" value={predicted ? format.bitsPerWeight(predicted.bitsPerWeight) : '–'} />
                  <Figure name="size" value={predicted ? format.bytes(predicted.weightBytes) : '–'} />
                  <Figure name="about" value={predicted?.forecast ? format.duration(predicted.forecast.seconds) : '–'} />
                </span>
              </button>
              <span className="card-tools">
                <Button
                  kind="quiet"
                  icon="copy"
                  aria-label={`Duplicate ${run.label}`}
                  title="Duplicate"
                  onClick={() => workbench.duplicateRun(run.id)}
                />
                <Button
                  kind="quiet"
                  icon="remove"
                  aria-label={`Remove ${run.label}`}
                  title="Remove"
                  disabled={job.runs.length === 1}
                  onClick={() => workbench.removeRun(run.id)}
                />
              </span>
            </li>
          )
        })}
      </ul>
      <div className="row add-run">
        <DropdownMenu.Root modal={false}>
          <DropdownMenu.Trigger className="button">
            <Icon name="add" />
            <span>Add a run</span>
            <Icon name="down" />
          </DropdownMenu.Trigger>
          <DropdownMenu.Portal>
            <DropdownMenu.Content className="menu" align="start" sideOffset={4}>
              {methodGroups(catalog).map(({ title, solvers }) => (
                <DropdownMenu.Group key={title}>
                  <DropdownMenu.Label className="menu-title">{title}</DropdownMenu.Label>
                  {solvers.map((solver) => (
                    <DropdownMenu.Item key={solver.id} onSelect={() => workbench.addRun(solver.id)}>
                      {methodName(solver)}
                    </DropdownMenu.Item>
                  ))}
                </DropdownMenu.Group>
              ))}
            </DropdownMenu.Content>
          </DropdownMenu.Portal>
        </DropdownMenu.Root>
      </div>
    </section>
  )
}

function Figure({ name, value }: { name: string; value: string }) {
  return (
    <span className="figure">
      <span className="figures">{value}</span>
      <small>{name}</small>
    </span>
  )
}

function RunOptions({ catalog, job }: { catalog: Catalog; job: Job }) {
  const workbench = useWorkbench()
  const chosen = useView((state) => state.chosen)
  const check = useView((state) => state.check)
  const index = job.runs.findIndex(({ id }) => id === chosen)
  const run = job.runs[index]
  if (!run) return <section className="panel options">Choose a run to see its options.</section>
  const solver = catalog.solvers.find(({ id }) => id === run.method)
  const specs = optionsOf(catalog, run.method)
  const path = (key: string) => `runs.${index}.options.${key}`
  const groups = optionGroups(catalog, run)
  const formats = job.save ? (check.state === 'done' ? chosenFormats(job, check.result, run.id) : null) : []
  const shared = { run, specs, formats, path }
  const hidden = specs.filter((spec) => spec.advanced)
  const settled = [`runs.${index}.method`, `runs.${index}.formats`, ...specs.map((spec) => path(spec.key))]
  const elsewhere = problemsOf(check).filter(
    ({ field }) => field?.startsWith(`runs.${index}.`) && !settled.includes(field) && !field.includes('.overrides'),
  )
  const hiddenProblem = problemsOf(check).some((problem) => hidden.some((spec) => problem.field === path(spec.key)))
  return (
    <section className="panel options" aria-labelledby="options-title" key={run.id}>
      <h2 id="options-title">
        <RunMark run={run.id} /> Options of {run.label}
      </h2>
      <div className="fields">
        <Label run={run} />
        <Field label="Method" path={`runs.${index}.method`} help={solver && `${solver.summary} ${solver.advice}`}>
          {(control) => (
            <select {...control} className="input" value={run.method} onChange={(event) => workbench.setMethod(run.id, event.target.value)}>
              {!solver && <option value={run.method}>{run.method}: no such method</option>}
              {methodGroups(catalog).map(({ title, solvers }) => (
                <optgroup key={title} label={title}>
                  {solvers.map((each) => (
                    <option key={each.id} value={each.id}>
                      {methodName(each)}
                    </option>
                  ))}
                </optgroup>
              ))}
            </select>
          )}
        </Field>
      </div>
      <ProblemList label={`Problems of ${run.label}`} problems={elsewhere} />
      <OptionGroups groups={groups.common} {...shared} />
      <BudgetOf key={`budget ${run.id}`} run={run} job={job} />
      {hidden.length > 0 && (
        <More count={hidden.length} wrong={hiddenProblem}>
          <OptionGroups groups={groups.advanced} {...shared} />
          <Overrides key={run.method} run={run} path={`runs.${index}.overrides`} specs={specs} />
        </More>
      )}
    </section>
  )
}

/** Opens by itself when something in it is wrong, and never closes by itself: somebody may be typing in it. */
function More({ count, wrong, children }: { count: number; wrong: boolean; children: React.ReactNode }) {
  const [open, setOpen] = useState(wrong)
  if (wrong && !open) setOpen(true)
  return (
    <details className="more" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>More ({count})</summary>
      {children}
    </details>
  )
}

interface OptionGroupsProps {
  groups: OptionGroup[]
  run: RunSpec
  /** All options of the run. */
  specs: readonly OptionSpec[]
  /** Ids of the formats that it is written in; null until that is known. */
  formats: string[] | null
  path: (key: string) => string
}

function OptionGroups({ groups, run, specs, formats, path }: OptionGroupsProps) {
  const workbench = useWorkbench()
  return groups.map(({ title, specs: some }) => (
    <div key={title} className="option-group">
      {title && <h3>{title}</h3>}
      <div className="fields">
        {some.map((spec) => (
          <OptionField
            key={spec.key}
            owner={run.id}
            spec={spec}
            options={run.options}
            specs={specs}
            formats={formats}
            path={path(spec.key)}
            onChange={(value) => workbench.setOption(run.id, spec.key, value)}
          />
        ))}
      </div>
    </div>
  ))
}

function Label({ run }: { run: RunSpec }) {
  const workbench = useWorkbench()
  const [draft, setDraft] = useState<string | null>(null)
  return (
    <Field label="Name" help="How tables and charts call this run. Empty: named after its method and bits.">
      {(control) => (
        <input
          {...control}
          className="input"
          value={draft ?? run.label}
          maxLength={60}
          onChange={(event) => setDraft(event.target.value)}
          onBlur={() => {
            if (draft !== null) workbench.renameRun(run.id, draft)
            setDraft(null)
          }}
          onKeyDown={(event) => {
            if (event.key === 'Enter') event.currentTarget.blur()
          }}
        />
      )}
    </Field>
  )
}

// ---------------------------------------------------------------- start

function StartBar({ catalog, job, measuring }: { catalog: Catalog; job: Job; measuring: boolean }) {
  const workbench = useWorkbench()
  const check = useView((state) => state.check)
  const busy = useView(isBusy)
  const gpu = useView((state) => (state.gpu.state === 'ready' ? state.gpu.summary : null))
  const unread = useView((state) => state.unread)
  const mixing = useView(({ mix }) => mix?.state === 'measuring')
  const problems = problemsOf(check).filter(({ field }) => field === undefined || !unread.includes(field))
  const errors = problems.filter(isError)
  const done = check.state === 'done' ? check.result : null
  const forecasts = done?.runs.flatMap(({ forecast }) => forecast ?? []) ?? []
  const times = forecasts.flatMap((forecast) => forecast.seconds ?? [])
  const seconds = done?.runs.length && times.length === done.runs.length ? times.reduce((sum, one) => sum + one, 0) : null
  const memory = forecasts.length ? Math.max(...forecasts.map(({ gpuBytes }) => gpuBytes)) : null
  const empty = !measuring && job.runs.length === 0
  const blank = useView((state) => state.model.state === 'ready' && state.model.summary.tokenizer === null)
  const reading = useView(({ check, traffic }) => check.state === 'pending' && Boolean(traffic?.underWay))
  const why = blank
    ? 'No weights, so nothing can be run: check only.'
    : mixing
      ? 'Widths are being measured; the job can start when that is over.'
      : busy
        ? 'A job is running; the next one can start when it is over.'
        : empty
          ? 'Add a run first.'
          : unread.length
            ? 'First enter a number in the marked field.'
            : check.state === 'pending'
              ? 'Checking the plan …'
              : errors.length
                ? `${format.plural(errors.length, 'problem')} to solve first.`
                : null

  const words = [
    seconds !== null && !measuring && `about ${format.duration(seconds)} in all`,
    memory !== null && gpu && `up to ${format.bytesOf(memory, gpu.memoryBudget)} of GPU memory`,
  ].filter(Boolean)

  return (
    <>
      <PlanProblems catalog={catalog} job={job} problems={problems} />
      <section className="panel start-bar row" aria-label="Start">
        <Button kind="primary" icon="play" disabled={why !== null} aria-describedby="start-why" onClick={workbench.start}>
          {measuring ? 'Measure perplexity' : job.runs.length > 1 ? `Start ${job.runs.length} runs` : 'Start the run'}
        </Button>
        {reading && (
          <Button icon="cancel" onClick={workbench.stopReading}>
            Stop reading
          </Button>
        )}
        {mayPass(check) && <Button onClick={() => workbench.setJob({})}>Check again</Button>}
        <p id="start-why" className="figures grow">
          {why ?? words.join(' · ')}
        </p>
        {!blank && (
          <Button kind="quiet" icon="download" className="save-job" title="Save as a job file" onClick={() => workbench.saveJobFile(null)}>
            Save as a job file
          </Button>
        )}
      </section>
    </>
  )
}

/** What only warns is said once, at its field. */
function PlanProblems({ catalog, job, problems }: { catalog: Catalog; job: Job; problems: Problem[] }) {
  const chosen = useView((state) => state.chosen)
  const elsewhere = problems.filter((problem) => isError(problem) || !isAtField(job, chosen, problem.field))
  const placed = elsewhere.map((problem) => ({ ...problem, place: problem.field ? placeOf(catalog, job, problem.field) : '' }))
  return <ProblemList label="Problems of the plan" problems={mergeProblems(placed)} />
}
