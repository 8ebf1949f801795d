/** The checkpoints of a run, out of the page: what there is, what loads it, and what to type there. */
import { lazy, Suspense, useState } from 'react'
import type { ExportedCheckpoint, ExportFile, RunResult } from '../../engine/job/result.ts'
import { useView, useWorkbench } from '../context.ts'
import { canPickFolders, download } from '../files.ts'
import * as format from '../format.ts'
import { when } from '../kept.ts'
import type { JobView, RunView } from '../reduce.ts'
import { exportNames } from '../export-names.ts'
import { isBusy } from '../store/state.ts'
import { Bar, Button } from './controls.tsx'
import { RunMark } from './run-mark.tsx'
import { RepeatCommand } from './take.tsx'
import { UploadTo } from './upload.tsx'

/** Largest file that the browser hands over to llama.cpp. */
const mostChatBytes = 2 ** 31

export function ExportCard({ run, view }: { run: RunView; view: JobView }) {
  const recorded = useView((state) => state.recorded)
  const made = run.result?.export
  return (
    <section className="panel" data-run={run.id} aria-label={`Export ${run.label}`}>
      <h3>
        <RunMark run={run.id} />
        {'\u00a0'}
        {run.label}
      </h3>
      {!made && !run.result?.exportError && (
        <p className="hint">{recorded ? 'A recording holds figures, not checkpoints.' : whyNoCheckpoint(run, view.job.save)}</p>
      )}
      {run.result?.exportError && <NotWritten run={run.id} error={run.result.exportError} />}
      {made && <Made run={run} view={view} made={made} />}
      {run.result && <RepeatCommand run={run.id} />}
    </section>
  )
}

function whyNoCheckpoint({ state, result }: RunView, asked: boolean): string {
  if (result?.dropped) return `The checkpoint was deleted on ${when(result.dropped)} to make room; the figures are those of then.`
  if (state === 'waiting' || state === 'running') return 'The checkpoint appears here when the run has finished.'
  if (state === 'skipped') return 'The job ended before this run began.'
  return asked ? 'An unfinished run has no checkpoint.' : 'No checkpoint was requested in the plan.'
}

function NotWritten({ run, error }: { run: string; error: NonNullable<RunResult['exportError']> }) {
  const workbench = useWorkbench()
  const kept = useView(({ jobs, shown }) => jobs.find(({ id }) => id === shown.runs[run]?.job))
  const away = useView(isBusy) || !kept || kept.busy
  return (
    <div className="field-problem error">
      <p>
        No checkpoint: {error.message} {error.hint} The solved layers are kept.
      </p>
      <Button icon="file" disabled={away} onClick={() => kept && workbench.goOn(kept.id)}>
        Write the checkpoint again
      </Button>
    </div>
  )
}

function Made({ run, view, made }: { run: RunView; view: JobView; made: NonNullable<RunResult['export']> }) {
  const catalog = useView((state) => state.catalog)
  const model = useView((state) => state.ran)
  const labelOf = (id: string) => catalog?.formats.find((one) => one.id === id)?.label ?? id
  const name = model ? exportNames(model, view.runs).get(run.id)! : run.id
  const checkpoints = checkpointsOf(made)
  const several = checkpoints.length > 1
  return (
    <>
      <p className="figures">
        <b>{format.bytes(made.bytes)}</b> · {checkpoints.map((one) => labelOf(one.format)).join(', ')} · written and read back correctly
      </p>
      <Save run={run} />
      <ChatWith run={run.id} files={made.files} />
      {checkpoints.map(({ format: id, folder }, i) =>
        several ? (
          <details key={id} open={i === 0}>
            <summary>
              {labelOf(id)}, {format.bytes(sizeBelow(made.files, folder))}
            </summary>
            <UploadTo run={run.id} folder={folder} name={`${name}-${id}`} />
          </details>
        ) : (
          <div key={id} className="checkpoint">
            <UploadTo run={run.id} folder={folder} name={name} />
          </div>
        ),
      )}
      <Files run={run.id} files={made.files} />
    </>
  )
}

const sizeBelow = (files: ExportFile[], folder: string) =>
  files.filter(({ path }) => path.startsWith(folder)).reduce((sum, file) => sum + file.bytes, 0)

/** A result that an earlier version has kept is one checkpoint and says so itself. */
export function checkpointsOf(made: NonNullable<RunResult['export']>): ExportedCheckpoint[] {
  return made.checkpoints ?? [{ folder: '', ...(made as unknown as Omit<ExportedCheckpoint, 'folder'>) }]
}

function Save({ run }: { run: RunView }) {
  const workbench = useWorkbench()
  const saving = useView((state) => state.saving[run.id])
  const busy = saving?.state === 'saving'
  return (
    <>
      <div className="row">
        {canPickFolders() && (
          <Button icon="folder" disabled={busy} onClick={() => workbench.save(run.id, 'folder')}>
            Save to a folder
          </Button>
        )}
        <Button icon="download" disabled={busy} onClick={() => workbench.save(run.id, 'zip')}>
          Download as one zip
        </Button>
      </div>
      {saving?.state === 'saving' && (
        <div>
          <Bar label={`Saving ${run.label}`} done={saving.total ? saving.bytes / saving.total : 0} />
          <p className="hint figures">Saving: {format.bytesOf(saving.bytes, saving.total)}</p>
        </div>
      )}
      {saving?.state === 'saved' && (
        <p className="hint" role="status">
          Saved as {saving.as}
        </p>
      )}
      {saving?.state === 'failed' && (
        <p className="field-problem error" role="alert">
          {saving.error.message} {saving.error.hint}
        </p>
      )}
    </>
  )
}

const Chat = lazy(() => import('./chat.tsx'))

/** Opens a checkpoint for llama.cpp in this page, where its files are small enough for the browser to hand over. */
function ChatWith({ run, files }: { run: string; files: ExportFile[] }) {
  const [open, setOpen] = useState(false)
  const busy = useView(isBusy)
  const paths = files.filter(({ path }) => path.endsWith('.gguf')).map(({ path }) => path)
  if (!paths.length) return null
  const large = files.some(({ path, bytes }) => paths.includes(path) && bytes > mostChatBytes)
  if (open && !busy) {
    return (
      <Suspense fallback={<p role="status">Loading llama.cpp …</p>}>
        <Chat run={run} paths={paths} onClose={() => setOpen(false)} />
      </Suspense>
    )
  }
  return (
    <div>
      <Button icon="chat" disabled={large || busy} onClick={() => setOpen(true)}>
        Chat with it
      </Button>
      {large && <p className="hint">Only files of up to 2 GiB can be opened in the browser.</p>}
    </div>
  )
}

function Files({ run, files }: { run: string; files: ExportFile[] }) {
  const workbench = useWorkbench()
  const save = (path: string) => workbench.file(run, path).then((blob) => download(path.split('/').at(-1)!, blob), workbench.fail)
  return (
    <details>
      <summary>{format.plural(files.length, 'file')}</summary>
      <ul className="files">
        {files.map(({ path, bytes }) => (
          <li key={path}>
            <button type="button" className="link" onClick={() => save(path)}>
              {path}
            </button>
            <span className="figures">{format.bytes(bytes)}</span>
          </li>
        ))}
      </ul>
    </details>
  )
}
