/** The choice of checkpoint formats, and why one cannot store a run. */
import type { Catalog, Job, JobCheck } from '../../engine/job.ts'
import { useDone, useWorkbench } from '../context.ts'
import { chooseFormat, refusedBy } from '../plan.ts'
import { Field, Switch } from './controls.tsx'

export function FormatsCard({ catalog, job }: { catalog: Catalog; job: Job }) {
  const workbench = useWorkbench()
  const done = useDone()
  const chosen = job.formats ?? []
  return (
    <section className="panel" aria-labelledby="formats-title">
      <h2 id="formats-title">Checkpoint</h2>
      <p className="hint">
        {chosen.length === 0
          ? 'Every run is written in the first of these formats that can store its result. Select formats to change this.'
          : chosen.length === 1
            ? 'Every run is written in this format.'
            : 'Every run is written in these formats, each in its own folder.'}
      </p>
      <div className="fields">
        {catalog.formats.map(({ id, label, summary }) => (
          <Field key={id} label={label} help={`${summary} ${takenFor(job, done, id)}`.trim()} path={`formats.${id}`}>
            {(control) => (
              <>
                <Switch
                  {...control}
                  checked={chosen.includes(id)}
                  onChange={(on) => workbench.setJob({ formats: chooseFormat(catalog, chosen, id, on) })}
                />
                {!chosen.includes(id) &&
                  refusedBy(job, done, id).map(({ runs, why, instead }) => (
                    <p key={runs} className="hint">
                      Not for {runs}: {why} {instead}
                    </p>
                  ))}
              </>
            )}
          </Field>
        ))}
      </div>
    </section>
  )
}

/** Where nothing is chosen: which runs will be written in this format. */
function takenFor(job: Job, check: JobCheck | null, id: string): string {
  if (job.formats?.length || !check) return ''
  const runs = check.runs.filter(({ formats }) => formats.some((format) => format.id === id && format.written))
  const labels = runs.flatMap((run) => job.runs.find((one) => one.id === run.id)?.label ?? [])
  return labels.length ? `Used for ${labels.join('; ')}.` : ''
}
