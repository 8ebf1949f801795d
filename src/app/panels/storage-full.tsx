/** What a job waits for that has no room left, and the oldest checkpoints, which would make some. */
import type { StorageNeed } from '../../engine/job/events.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { oldestCheckpoints, when } from '../kept.ts'
import { Button } from './controls.tsx'
import { Icon } from './icons.tsx'

export function StorageFull({ need }: { need: StorageNeed }) {
  const workbench = useWorkbench()
  const asked = useView((state) => state.asked)
  const jobs = useView((state) => state.jobs)
  const discarded = useView((state) => state.discarded)
  // Of what is needed last, the size is not known.
  const going = oldestCheckpoints(jobs, Math.max(1, need.needed - discarded.reduce((sum, { bytes }) => sum + bytes, 0)))
  const offered = going.length > 0 || discarded.length > 0
  return (
    <section className="error-note" aria-label="The storage is full" data-code="storage-full">
      <Icon name="pause" />
      <div>
        <h2>Paused: there is no space for {need.what}</h2>
        <p>
          {need.needed > 0 && `${format.bytes(need.needed)} are still needed. `}
          {need.problem.message}
        </p>
        <p className="hint">Nothing is lost. {need.problem.hint}</p>
        {offered && (
          <>
            <p>What is kept longest could make room:</p>
            <ul className="room-list">
              {discarded.map(({ id, model, started, bytes }) => (
                <li key={id}>
                  {model.name}, {when(started)}, deleted before: {format.bytes(bytes)}
                </li>
              ))}
              {going.map((job) => (
                <li key={job.id}>
                  {job.model.name}, {when(job.started)} ({job.runs.map(({ label }) => label).join('; ')}): {format.bytes(job.bytes)}
                </li>
              ))}
            </ul>
            <p className="hint">
              The files cannot be brought back.{going.length > 0 && ' Figures and charts of these checkpoints stay.'}
              {discarded.length > 0 && ' What was deleted before goes for good.'}
            </p>
          </>
        )}
        <div className="row">
          {offered && (
            <Button kind="primary" icon="play" disabled={asked !== null} onClick={() => workbench.freeAndGoOn(going.map(({ id }) => id))}>
              Delete them and continue
            </Button>
          )}
          <Button
            kind={offered ? 'plain' : 'primary'}
            icon={offered ? undefined : 'play'}
            disabled={asked !== null}
            onClick={workbench.resume}
          >
            Try again
          </Button>
        </div>
      </div>
    </section>
  )
}
