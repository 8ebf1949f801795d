/** The jobs that the browser keeps: the one that is not finished, and the list of all. */
import { useCallback, useId, useState } from 'react'
import type { KeptJob } from '../../engine/job/kept.ts'
import { samePlace } from '../address.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { bestRun, differencesOf, when, whyNotCompared } from '../kept.ts'
import { isBusy } from '../store/state.ts'
import { Button } from './controls.tsx'
import { Scroll, usePages } from './tables.tsx'
import './jobs.css'

/** The job that was just deleted or brought back: what stood for it is gone, and focus goes to what stands for it now. */
let followed: string | null = null

/** For the element that takes the focus. */
function useFollowing(id: string) {
  return useCallback(
    (element: HTMLElement | null) => {
      if (!element || followed !== id) return
      followed = null
      element.focus()
    },
    [id],
  )
}

function useFollowed<T>(act: (id: string) => T) {
  return (id: string) => {
    followed = id
    return act(id)
  }
}

/** The newest job that is not finished, wherever another could be started; `compact` where one is being planned. */
export function UnfinishedJob({ compact = false }: { compact?: boolean }) {
  const job = useView(({ jobs }) => jobs.find(({ busy }) => busy) ?? jobs.find(({ finished }) => !finished))
  const away = useView((state) => isBusy(state) || state.gpu.state !== 'ready' || state.catalog === null)
  return !job || away ? null : <Unfinished job={job} compact={compact} />
}

function Unfinished({ job, compact }: { job: KeptJob; compact: boolean }) {
  const workbench = useWorkbench()
  const discard = useFollowed(workbench.discard)
  const lacks = useView((state) => state.lacks)
  const tried = useView((state) => (state.model.state === 'refused' ? state.model.hub : (state.fault?.hub ?? null)))
  const { id, busy, model, origin, runs, started, layers, bytes, problem } = job
  const refused = origin.kind === 'hub' && samePlace(tried, origin)
  const results = runs.filter(({ state }) => state !== null).length
  const saved = results > 0 && 'What is finished can still be saved.'
  return (
    <section className="panel job-card" aria-labelledby="unfinished-title">
      <div className="job-words">
        <h2 id="unfinished-title">{busy ? `Another tab is running a job on ${model.name}` : `A job on ${model.name} is not finished`}</h2>
        <p>
          {runs.map(({ label }) => label).join('; ')}
          {origin.kind === 'hub' && `, from commit ${origin.revision.slice(0, 7)} of ${origin.repo}`}. Started {when(started)}
          {busy
            ? '.'
            : `; ${layers.done} of ${format.plural(layers.all, 'linear')} solved, ${results} of ${format.plural(runs.length, 'run')} finished, ${format.bytes(bytes)} kept.`}
        </p>
        {problem && (
          <p className="bad">
            {problem.message} {saved}
          </p>
        )}
        {refused && (
          <p className="bad">
            It goes on only with the commit that it began with, and that could not be opened. Another one may hold other weights; results of
            both would be mixed. {saved}
          </p>
        )}
        {lacks?.job === id && <Lacking />}
        <p className="hint">
          {busy
            ? 'One tab runs at a time, since both would use the same GPU. This page can continue as soon as the other one has finished.'
            : refused
              ? 'It can be resumed as soon as that commit can be read again.'
              : 'It continues after the last solved linear and writes the same files as an uninterrupted job.'}
        </p>
      </div>
      {!busy && (
        <div className="row">
          {!problem && (
            <Button kind={compact || refused ? 'plain' : 'primary'} icon="play" onClick={() => workbench.goOn(id)}>
              Resume
            </Button>
          )}
          {results > 0 && (
            <Button icon="next" onClick={() => workbench.openResults(id)}>
              Open the results
            </Button>
          )}
          <Button icon="remove" onClick={() => discard(id)}>
            Delete
          </Button>
        </div>
      )}
    </section>
  )
}

function Lacking() {
  const lacks = useView((state) => state.lacks)
  return (
    lacks && (
      <p role="alert">
        <b>Choose or drop the folder “{lacks.name}” again</b> to {lacks.wanted === 'resume' ? 'resume' : 'go on'}: this browser cannot open
        it by itself.
      </p>
    )
  )
}

/** All kept jobs, with what was deleted last. */
export function JobList() {
  const workbench = useWorkbench()
  const jobs = useView((state) => state.jobs)
  const discarded = useView((state) => state.discarded)
  const [chosen, setChosen] = useState<string[]>([])
  const pages = usePages(jobs, 8)
  if (!jobs.length && !discarded.length) return null
  const compared = jobs.filter(({ id }) => chosen.includes(id))
  const why = compared.length > 1 ? whyNotCompared(compared) : null
  const caution = compared.length > 1 && !why ? differencesOf(compared) : null
  return (
    <section className="panel" aria-labelledby="jobs-title">
      <div className="panel-head">
        <h2 id="jobs-title">Jobs</h2>
        {jobs.length > 1 && (
          <div className="row">
            <span className="hint" role="status">
              {why ?? caution ?? (compared.length < 2 ? 'Choose two or more to see their runs in one table.' : '')}
            </span>
            <Button
              icon="compare"
              disabled={compared.length < 2 || why !== null}
              onClick={() => workbench.compareJobs(compared.map(({ id }) => id))}
            >
              Compare
            </Button>
          </div>
        )}
      </div>
      {discarded.map((job) => (
        <Discarded key={job.id} job={job} />
      ))}
      {jobs.length > 0 && (
        <Scroll label="Kept jobs">
          <table className="sticky jobs">
            <thead>
              <tr>
                <th scope="col">Model</th>
                <th scope="col">Runs</th>
                <th scope="col">Best figure</th>
                <th scope="col">Texts</th>
                <th scope="col">Started</th>
                <th scope="col" className="number">
                  Size
                </th>
                <th scope="col">
                  <span className="sr">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {pages.rows.map((job) => (
                <Row
                  key={job.id}
                  job={job}
                  chosen={chosen.includes(job.id)}
                  onChoose={(on) => setChosen(on ? [...chosen, job.id] : chosen.filter((id) => id !== job.id))}
                />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      <div className="table-foot">
        <span className="hint">
          Kept in this browser until you delete them; when it has no room for another job, it asks before it deletes the oldest checkpoints.
        </span>
        {pages.controls}
      </div>
    </section>
  )
}

function Row({ job, chosen, onChoose }: { job: KeptJob; chosen: boolean; onChoose: (on: boolean) => void }) {
  const { id, model, runs, texts, started, bytes, busy, finished, layers, dropped, unwritten } = job
  const best = bestRun(job)
  const name = `${model.name}, ${when(started)}`
  return (
    <tr ref={useFollowing(id)} tabIndex={-1}>
      <th scope="row">
        <label className="job-name">
          <input
            type="checkbox"
            checked={chosen}
            disabled={busy || !texts}
            aria-label={`Compare the job on ${name}`}
            onChange={(event) => onChoose(event.target.checked)}
          />
          {model.name}
        </label>
      </th>
      <td className="job-wraps" title={runs.map(({ label }) => label).join('; ')}>
        {runs.length > 2 ? `${runs[0].label} and ${runs.length - 1} more` : runs.map(({ label }) => label).join('; ')}
        {!finished && (
          <span className="tag">{busy ? 'running' : `${format.percent(layers.all ? layers.done / layers.all : 0)} solved`}</span>
        )}
        {unwritten && <span className="tag bad">checkpoint not written</span>}
        {dropped && <span className="tag">checkpoints deleted</span>}
      </td>
      <td className="figures job-wraps">
        {best
          ? `${best.kl === null ? `perplexity ${format.perplexity(best.perplexity)}` : `KL ${format.divergence(best.kl)}`} at ${format.bitsPerWeight(best.bitsPerWeight)} bits`
          : '–'}
        {best && runs.length > 1 && <span className="hint"> ({best.label})</span>}
      </td>
      <td className="job-wraps hint">{texts ? [texts.calibration?.name, texts.evaluation.name].filter(Boolean).join(' → ') : '–'}</td>
      <td className="figures job-wraps">{when(started)}</td>
      <td className="number">{busy ? '–' : format.bytes(bytes)}</td>
      <td>
        <Actions id={id} name={name} job={job} opens={runs.some(({ state }) => state !== null)} />
      </td>
    </tr>
  )
}

function Actions({ id, name, job, opens }: { id: string; name: string; job: KeptJob; opens: boolean }) {
  const workbench = useWorkbench()
  const discard = useFollowed(workbench.discard)
  const busy = useView(isBusy) || job.busy
  const ready = useView((state) => state.gpu.state === 'ready')
  return (
    <span className="row tight job-actions">
      {!job.finished && !job.problem && (
        <Button
          kind="quiet"
          icon="play"
          disabled={busy || !ready}
          aria-label={`Resume the job on ${name}`}
          title="Resume"
          onClick={() => workbench.goOn(id)}
        />
      )}
      <Button disabled={busy || !opens} onClick={() => workbench.openResults(id)}>
        Open the results
      </Button>
      <Button
        kind="quiet"
        icon="copy"
        disabled={busy}
        aria-label={`Plan the job on ${name} again`}
        title="Duplicate: plan it again"
        onClick={() => workbench.duplicateJob(id)}
      />
      <Button
        kind="quiet"
        icon="download"
        aria-label={`Save the job file of ${name}`}
        title="Save as a job file"
        onClick={() => workbench.saveJobFile(id)}
      />
      <Button
        kind="quiet"
        icon="remove"
        disabled={job.busy}
        aria-label={`Delete the job on ${name}`}
        title="Delete"
        onClick={() => discard(id)}
      />
    </span>
  )
}

function Discarded({ job }: { job: KeptJob }) {
  const workbench = useWorkbench()
  const restore = useFollowed(workbench.restore)
  const words = useId()
  return (
    <p className="notice row">
      <span className="grow" id={words}>
        The job on <b>{job.model.name}</b>, started {when(job.started)}, was deleted; its {format.bytes(job.bytes)} are freed when this
        message is closed or another job needs the room.
      </span>
      <Button ref={useFollowing(job.id)} aria-describedby={words} onClick={() => restore(job.id)}>
        Undo
      </Button>
      <Button
        kind="quiet"
        icon="cancel"
        aria-label="Close this message"
        aria-describedby={words}
        onClick={() => workbench.sweep([job.id])}
      />
    </p>
  )
}

/** What the plan was made from, where that is a job file, and what it lacks. */
export function ReplayNote() {
  const workbench = useWorkbench()
  const replay = useView((state) => state.replay)
  const lacks = useView((state) => state.lacks?.wanted === 'plan')
  if (!replay) return null
  const { name, file, missing, problems, compared } = replay
  const { made } = file
  const warned = lacks || missing.length > 0 || problems.some(({ severity }) => severity === 'warning')
  return (
    <section className={`notice row ${warned ? 'warn' : ''}`} aria-label="Job file">
      <div className="grow">
        <p>
          {lacks ? 'To be planned' : 'Planned'} by <b>{name}</b>
          {made && `, run ${when(made.date)} by version ${made.workbench} on ${made.adapter}`}.
          {!warned &&
            (compared
              ? file.model.sha256 && ' The model and the texts are the same.'
              : ' Model and texts were not compared, since its plan has errors.')}
        </p>
        {lacks && <Lacking />}
        {missing.length > 0 && (
          <p>
            <b>
              Drop {missing.length > 1 ? 'the texts' : 'the text'} {missing.map((text) => `“${text}”`).join(', ')}
            </b>
            : a job file holds no texts.
          </p>
        )}
        {problems.map(({ message, hint, severity }) => (
          <p key={message} className={severity === 'warning' ? '' : 'hint'}>
            {message} {hint}
          </p>
        ))}
      </div>
      <Button kind="quiet" icon="cancel" aria-label="Close this message" onClick={workbench.dismissReplay} />
    </section>
  )
}
