/** The choice of checkpoint formats: what loads each, and why one cannot store a run. */
import { useRef } from 'react'
import type { Catalog } from '../../engine/job/catalog.ts'
import type { FormatCheck, JobCheck, LoadsIn } from '../../engine/job/check.ts'
import type { Job } from '../../engine/job/job.ts'
import { useDone, useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { chosenFormats, formatsOf, keepsSolved, keptBytes, loaders } from '../formats.ts'
import { problemsOf } from '../check.ts'
import { Field, Switch } from './fields.tsx'
import { Icon } from './icons.tsx'
import { RunMark } from './run-mark.tsx'
import { Tip } from './controls.tsx'
import { Scroll } from './tables.tsx'
import { ProblemList } from './problems.tsx'
import './formats.css'

export function FormatsCard({ catalog, job }: { catalog: Catalog; job: Job }) {
  const workbench = useWorkbench()
  const done = useDone()
  const check = useView((state) => state.check)
  // The last figures stay, greyed, until there are others.
  const last = useRef(done)
  if (done) last.current = done
  const wrong = problemsOf(check).filter(({ field }) => /^(runs\.\d+\.)?formats\b/.test(field ?? ''))
  const places = wrong.map((problem) => ({ ...problem, place: job.runs[Number(problem.field?.split('.')[1])]?.label ?? '' }))
  return (
    <section className="panel formats-card" aria-labelledby="formats-title">
      <h2 id="formats-title">Checkpoints</h2>
      <div className="fields">
        <Field label="Write checkpoints" help="Each run's model, to be saved from the results." path="save">
          {(control) => <Switch {...control} checked={job.save} onChange={(save) => workbench.setJob({ save })} />}
        </Field>
        {job.save && <KeepSolved job={job} check={last.current} />}
      </div>
      {job.save && (
        <>
          <FormatTable
            catalog={catalog}
            job={job}
            check={last.current}
            stale={!done}
            onChoose={(runs, id, on) => workbench.chooseFormat(last.current, runs, id, on)}
          />
          <ProblemList label="Problems of the formats" problems={places} />
          <p className="help">
            Several formats of a run are written into a folder each. Point at a cell for the programs that load it and their conditions, or
            for the reason why it is not possible.
          </p>
        </>
      )}
    </section>
  )
}

function KeepSolved({ job, check }: { job: Job; check: JobCheck | null }) {
  const workbench = useWorkbench()
  const room = useView((state) => state.cache)
  const bytes = keptBytes(check)
  const cost = bytes === null ? undefined : `It takes ${format.bytes(bytes)} of this browser’s storage`
  const kept = keepsSolved(job, check, room)
  const tight = !kept && job.keepSolved === undefined
  return (
    <Field
      label="Keep solved layers"
      help={`To write a finished run in other formats later, without running it again.${tight ? ' Off, because there is little room left.' : ''}`}
      cost={cost}
      path="keepSolved"
    >
      {(control) => <Switch {...control} checked={kept} onChange={(keepSolved) => workbench.setJob({ keepSolved })} />}
    </Field>
  )
}

interface FormatTableProps {
  catalog: Catalog
  job: Job
  check: JobCheck | null
  /** The check is of the plan as it was before. */
  stale?: boolean
  onChoose: (runs: string[], id: string, on: boolean) => void
}

/** Runs by formats: whether it can be, how large it is and what loads it; several may be chosen for each run. */
export function FormatTable({ catalog, job, check, stale = false, onChoose }: FormatTableProps) {
  return (
    <Scroll label="Formats of the checkpoints">
      <table className={stale ? 'formats sticky stale' : 'formats sticky'}>
        <thead>
          <tr>
            <th scope="col">Run</th>
            {catalog.formats.map((one) => (
              <FormatHead key={one.id} one={one} job={job} check={check} onChoose={onChoose} />
            ))}
          </tr>
        </thead>
        <tbody>
          {job.runs.map((run) => (
            <tr key={run.id}>
              <th scope="row">
                <RunMark run={run.id} />
                {'\u00a0'}
                {run.label}
              </th>
              {catalog.formats.map(({ id, label }) => (
                <FormatCell
                  key={id}
                  name={`${label} for ${run.label}`}
                  found={formatsOf(check, run.id).find((each) => each.id === id)}
                  chosen={chosenFormats(job, check, run.id).includes(id)}
                  onChoose={(on) => onChoose([run.id], id, on)}
                />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}

/** A format's name, what it is, and one box for all runs where there are several. */
function FormatHead({ one, job, check, onChoose }: Omit<FormatTableProps, 'catalog'> & { one: Catalog['formats'][number] }) {
  const able = job.runs.filter(({ id }) => formatsOf(check, id).some((each) => each.id === one.id && !each.refusal))
  const all = able.length > 0 && able.every(({ id }) => chosenFormats(job, check, id).includes(one.id))
  const name = (
    <Tip className="tip inherit" text={one.summary} label={`${one.label}: ${one.summary}`}>
      {one.label}
    </Tip>
  )
  return (
    <th scope="col">
      {job.runs.length > 1 ? (
        <span className="format-pick">
          <input
            type="checkbox"
            aria-label={`${one.label} for every run that can be written in it`}
            checked={all}
            disabled={able.length === 0}
            onChange={(event) =>
              onChoose(
                job.runs.map(({ id }) => id),
                one.id,
                event.target.checked,
              )
            }
          />
          {name}
        </span>
      ) : (
        name
      )}
    </th>
  )
}

interface FormatCellProps {
  /** "GPTQ for RTN 3-bit". */
  name: string
  found: FormatCheck | undefined
  chosen: boolean
  onChoose: (on: boolean) => void
}

function FormatCell({ name, found, chosen, onChoose }: FormatCellProps) {
  if (!found) return <td>–</td>
  const { refusal, bytes } = found
  const programs = loaders(found).join(', ') || 'only this workbench'
  // What was chosen before it became impossible can be taken back.
  const box = (!refusal || chosen) && (
    <input
      type="checkbox"
      aria-label={name}
      aria-invalid={refusal ? true : undefined}
      checked={chosen}
      onChange={(event) => onChoose(event.target.checked)}
    />
  )
  return (
    <td className={`${chosen ? 'on' : ''} ${refusal ? 'refused' : ''}`}>
      <span className="format-pick">
        {box}
        {refusal ? (
          <Tip
            className="tip inherit"
            text={`${refusal.why} ${refusal.instead}`}
            label={`${name}: not possible. ${refusal.why} ${refusal.instead}`}
          >
            <Icon name="cancel" /> why not
          </Tip>
        ) : (
          <span className="figures">{format.bytes(bytes)}</span>
        )}
      </span>
      {!refusal && (
        <Tip className="tip inherit format-loaders" text={<Loaders loadsIn={found.loadsIn} />} label={`${name} loads in: ${programs}`}>
          {programs}
        </Tip>
      )}
    </td>
  )
}

/** Every program with a word on it. */
function Loaders({ loadsIn }: { loadsIn: LoadsIn[] }) {
  return loadsIn.map(({ runtime, loads, note }) => (
    <span key={runtime} className={`format-loader ${loads ? 'yes' : 'no'}`}>
      <Icon name={loads ? 'check' : 'cancel'} />
      <span>
        <b>{runtime}</b> {note}
      </span>
    </span>
  ))
}
