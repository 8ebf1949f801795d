/** A finished job, written in other formats without solving anything again. */
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { chosenFormats } from '../formats.ts'
import type { JobView } from '../reduce.ts'
import { shownJob } from '../store/jobs.ts'
import { isBusy } from '../store/state.ts'
import { Button } from './controls.tsx'
import { FormatTable } from './formats.tsx'

export function OtherFormats({ view }: { view: JobView }) {
  const workbench = useWorkbench()
  const kept = useView(shownJob)
  const lacks = useView((state) => state.lacks)
  const again = useView((state) => state.again)
  const busy = useView(isBusy)
  if (busy || !kept?.finished || kept.busy || !view.report || !view.job.save) return null
  if (!kept.keepsSolved || kept.dropped) {
    return <p className="hint">The solved layers were not kept, so writing other formats takes another job.</p>
  }
  return (
    <section className="panel" aria-labelledby="again-title">
      <div className="panel-head">
        <h2 id="again-title">Other formats</h2>
        {!again && (
          <Button icon="file" onClick={() => workbench.planFormats(kept.id)}>
            Write in other formats
          </Button>
        )}
      </div>
      <p className="hint">
        The solved layers are kept, so the runs can be written in other formats without running them again. The job takes{' '}
        {format.bytes(kept.bytes)} of this browser’s storage.
      </p>
      {lacks?.wanted === 'formats' && !again && (
        <p role="alert">
          <b>Choose or drop the folder “{kept.model.name}” again</b>: what was not quantized is copied from it.
        </p>
      )}
      {again && <Again />}
    </section>
  )
}

function Again() {
  const workbench = useWorkbench()
  const catalog = useView((state) => state.catalog)
  const again = useView((state) => state.again)
  if (!again || !catalog) return null
  const { job, check } = again
  if (!check) return <p role="status">Looking at what can be written …</p>
  const chosen = job.runs.flatMap(({ id }) => chosenFormats(job, check, id)).length
  return (
    <>
      <FormatTable catalog={catalog} job={job} check={check} onChoose={workbench.chooseAgain} />
      <div className="row">
        <Button kind="primary" icon="file" onClick={workbench.writeFormats}>
          {`Write ${format.plural(chosen, 'checkpoint')}`}
        </Button>
        <Button kind="quiet" onClick={workbench.dropFormats}>
          Cancel
        </Button>
        <span className="hint">
          A run that gets a new format is written anew, and those of its formats that are not chosen here are removed.
        </span>
      </div>
    </>
  )
}
