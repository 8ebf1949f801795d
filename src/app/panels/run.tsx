/** The Run step: progress of the job. */
import { useEffect, useRef, useState } from 'react'
import type { Stage } from '../../engine/job/job.ts'
import type { TokenCounts, UsedText } from '../../engine/job/texts.ts'
import type { ErrorCode } from '../../errors.ts'
import { MemoryOverTime, ObjectiveByIteration, PerplexityByBlocks } from '../charts/charts.tsx'
import { Maps } from '../charts/maps.tsx'
import { LayerErrors } from '../charts/multiples.tsx'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { mergeProblems } from '../check.ts'
import { StorageFull } from './storage-full.tsx'
import { type JobView, outcome, type RunView } from '../reduce.ts'
import { useOrdered, useShown } from '../shown.ts'
import type { State } from '../store/state.ts'
import { Bar, Button } from './controls.tsx'
import { Icon } from './icons.tsx'
import { RunMark, runColour } from './run-mark.tsx'
import { transferred } from './hub.tsx'
import { LayerTable } from './layers.tsx'
import { UnfinishedJob } from './jobs.tsx'
import { RunLooks } from './run-looks.tsx'
import { ErrorNote, ProblemList } from './problems.tsx'
import './run.css'

const stageWords: Record<Stage, string> = {
  baseline: 'Perplexity of the unquantized model',
  restore: 'Passing through finished blocks',
  calibrate: 'Collecting activations',
  solve: 'Solving',
  propagate: 'Passing activations on',
  evaluate: 'Measuring perplexity',
  write: 'Writing the checkpoint',
}

const stateWords: Record<RunView['state'], string> = {
  waiting: 'waiting',
  running: 'running',
  finished: 'finished',
  skipped: 'not begun',
  cancelled: 'cancelled',
  failed: 'failed',
}

export function RunPanel() {
  const view = useView((state) => state.view)
  return view && <Running view={view} />
}

function Running({ view: planned }: { view: JobView }) {
  const view = useOrdered(planned)
  const ran = useView((state) => state.ran)
  const measuring = view.runs.length === 0
  return (
    <>
      <h1 tabIndex={-1}>
        {view.phase === 'over' ? `${outcome(view)}:` : measuring ? 'Measuring' : 'Running on'} {ran?.name}
      </h1>
      <Failures view={view} />
      <UnfinishedJob />
      <Interruption view={view} />
      <div className={measuring ? 'run-grid measuring' : 'run-grid'}>
        {!measuring && (
          <>
            <RunList view={view} />
            <RunCharts view={view} />
          </>
        )}
        <Now view={view} />
        {!measuring && <LayerTable view={view} />}
      </div>
    </>
  )
}

function RunCharts({ view }: { view: JobView }) {
  const shown = useShown(view)
  return (
    <div className="run-charts">
      <LayerErrors view={shown} />
      <Maps view={shown} />
      <PerplexityByBlocks view={shown} />
    </div>
  )
}

/** What holds the job up, or did before it was resumed. */
function Interruption({ view }: { view: JobView }) {
  const { phase, storage, loss, resumed } = view
  if (phase === 'paused' && storage) return <StorageFull need={storage} />
  if (phase === 'recovering' && loss) {
    return (
      <section className="error-note" aria-label="The GPU is coming back" aria-busy="true" data-code="gpu-lost">
        <Icon name="warning" />
        <div>
          <h2>
            {loss.cause === 'lost' ? 'The GPU was lost and is being opened again' : 'The GPU has no memory left; going on with half of it'}
          </h2>
          <p>
            Everything up to the last finished linear is kept, and the run continues from there. That was the {ordinal[loss.losses]} time;
            at the {ordinal[loss.most]} the job stops with what it has.
          </p>
        </div>
      </section>
    )
  }
  if (resumed && phase !== 'over') {
    return (
      <p className="notice">
        Resumed:{' '}
        {resumed.layers
          ? `${format.plural(resumed.layers, 'linear')} had been solved since`
          : 'no linear had been solved yet of what began'}{' '}
        {new Date(resumed.started).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}
        {resumed.layers ? ' and are not solved again.' : '.'}
      </p>
    )
  }
  return null
}

const ordinal = ['', 'first', 'second', 'third', 'fourth', 'fifth', 'sixth']

const failureTitles: Partial<Record<ErrorCode, string>> = {
  'gpu-lost': 'the GPU was lost',
  'gpu-out-of-memory': 'the GPU ran out of memory',
  'storage-full': 'the storage of this browser is full',
}

/** Why the job or single runs of it did not finish. */
export function Failures({ view }: { view: JobView }) {
  const workbench = useWorkbench()
  const failed = view.runs.flatMap(({ id, label, state, result }) =>
    state === 'failed' && result?.error ? [{ id, label, error: result.error }] : [],
  )
  if (view.error && view.error.code !== 'cancelled') failed.unshift({ id: 'job', label: 'The job', error: view.error })
  return failed.map(({ id, label, error }) => (
    <ErrorNote key={id} title={`${label} stopped: ${failureTitles[error.code] ?? 'what is finished is kept'}`} error={error}>
      <Button onClick={() => workbench.go('plan')}>Back to the plan</Button>
    </ErrorNote>
  ))
}

// ---------------------------------------------------------------- left

function RunList({ view }: { view: JobView }) {
  const unit = useView((state) => state.preferences.errorUnit)
  return (
    <section className="panel run-list" aria-labelledby="run-list-title">
      <h2 id="run-list-title">Runs</h2>
      <ul>
        {view.runs.map((run) => (
          <li key={run.id} className={run.state} data-run={run.id}>
            <span className="run-name">
              <RunMark run={run.id} />
              <b>{run.label}</b>
              <RunLooks run={run} />
            </span>
            <Bar label={`Progress of ${run.label}`} done={run.done} colour={runColour(run.id)} />
            <span className="run-figures figures">
              <RunState run={run} />
              <span>{soFar(run, view, unit)}</span>
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}

function soFar(run: RunView, view: JobView, unit: format.ErrorUnit): string {
  if (run.result?.perplexity != null) return `perplexity ${format.perplexity(run.result.perplexity)}`
  if (!run.layers.length) return ''
  const mean = run.layers.reduce((sum, layer) => sum + layer.relativeError, 0) / run.layers.length
  return `error ${format.relativeError(mean, unit)}, ${run.layers.length} of ${view.layers.length}`
}

export function RunState({ run }: { run: RunView }) {
  const icon = { waiting: null, running: null, skipped: null, finished: 'check', cancelled: 'cancel', failed: 'warning' } as const
  const name = icon[run.state]
  return (
    <span className={`run-state ${run.state}`}>
      {name && <Icon name={name} />}
      {stateWords[run.state]}
    </span>
  )
}

// ---------------------------------------------------------------- right

/** Work that is longer than this is not thrown away by a slip of the hand. */
const precious = 120

function Now({ view }: { view: JobView }) {
  const asked = useView((state) => state.asked)
  const shown = useShown(view)
  const { progress } = view
  const left = progress.eta === null ? 'time left unknown' : `${format.clock(progress.eta)} left`
  return (
    <aside className="now" aria-labelledby="now-title">
      <section className="panel now-head">
        <h2 id="now-title">{headline(view, asked)}</h2>
        <Bar label="Progress of the job" done={progress.done} />
        <div className="eta figures">
          <span>{format.percent(progress.done)}</span>
          <span>{view.phase === 'over' ? format.clock(progress.elapsed) : left}</span>
        </div>
        <div className="row now-buttons">{view.phase === 'over' ? <SeeResults view={view} /> : <Controls view={view} />}</div>
      </section>
      <NowFacts view={view} />
      {view.runs.length > 0 && <ObjectiveByIteration view={shown} />}
      <MemoryOverTime view={view} />
    </aside>
  )
}

/** What happens, in a few words. */
function headline(view: JobView, asked: State['asked']): string {
  if (view.phase === 'over') return outcome(view)
  if (asked === 'cancel') return 'Cancelling …'
  if (asked === 'pause') return 'Pausing …'
  if (view.phase === 'paused') return view.storage ? 'Waiting for space' : 'Paused'
  if (view.phase === 'recovering') return 'Opening the GPU again'
  if (view.network?.waiting) return 'Waiting for the network'
  return view.stage ? stageWords[view.stage.stage] : 'Starting …'
}

function SeeResults({ view }: { view: JobView }) {
  const workbench = useWorkbench()
  // The button that had the focus is gone when the job is over.
  const place = useRef<HTMLSpanElement>(null)
  useEffect(() => {
    if (document.activeElement === document.body) place.current?.querySelector('button')?.focus({ preventScroll: true })
  }, [])
  return (
    <span ref={place}>
      <Button
        kind={view.runs.every(({ state }) => state === 'finished') ? 'primary' : 'plain'}
        icon="next"
        onClick={() => workbench.go('results')}
      >
        See the results
      </Button>
    </span>
  )
}

/** Pause, resume and cancel; what took long is cancelled only when asked twice. */
function Controls({ view }: { view: JobView }) {
  const workbench = useWorkbench()
  const asked = useView((state) => state.asked)
  const [sure, setSure] = useState(false)
  const { elapsed } = view.progress
  const cancel = () => {
    setSure(false)
    workbench.cancel()
  }
  if (sure) {
    return (
      <>
        <span className="sure">Stop after {format.duration(elapsed)}?</span>
        <Button kind="primary" onClick={cancel}>
          Cancel the job
        </Button>
        <Button onClick={() => setSure(false)}>Keep going</Button>
      </>
    )
  }
  return (
    <>
      {view.phase === 'paused' ? (
        <Button icon="play" disabled={asked !== null} onClick={workbench.resume}>
          Resume
        </Button>
      ) : (
        <Button icon="pause" disabled={asked !== null || view.phase === 'starting'} onClick={workbench.pause}>
          Pause
        </Button>
      )}
      <Button icon="cancel" disabled={asked === 'cancel'} onClick={() => (elapsed > precious ? setSure(true) : cancel())}>
        Cancel
      </Button>
    </>
  )
}

function NowFacts({ view }: { view: JobView }) {
  const gpu = useView((state) => (state.gpu.state === 'ready' ? state.gpu.summary : null))
  const { stage, progress } = view
  const over = view.phase === 'over'
  const measuring = view.runs.length === 0
  const run = view.runs.find(({ id, state }) => (stage?.run ? id === stage.run : state === 'running'))
  const sweep = run?.state === 'running' && stage?.stage === 'solve' && run.objective?.linear === stage.linear ? run.objective : null
  return (
    <section className="panel now-facts" aria-label="Details of now">
      <dl className="facts">
        {!measuring && <Line name="Run" value={run ? run.label : over ? '–' : 'before the first'} />}
        <Line name="Block" value={!over && stage?.block != null ? `${stage.block + 1} of ${view.blocks}` : '–'} />
        {!measuring && (
          <Line name="Linear" value={!over && stage?.linear ? stage.linear.replace(/^.*?(?:layers|h|blocks?)\.\d+\./, '') : '–'} />
        )}
        {!measuring && <Line name="Sweep" value={sweep ? `${(sweep.points.at(-1)?.iteration ?? -1) + 1} of ${sweep.iterations}` : '–'} />}
        <Line name="Elapsed" value={format.clock(progress.elapsed)} />
        <Line
          name={measuring ? 'As it was loaded' : 'Full precision'}
          value={view.fpPerplexity === null ? '–' : `perplexity ${format.perplexity(view.fpPerplexity)}`}
        />
        {!measuring && <Line name="Calibration" value={textLine(view.texts?.calibration, view.calibration)} />}
        <Line name="Evaluation" value={textLine(view.texts?.evaluation, view.evaluation)} />
        <Line name="GPU memory" value={gpu ? format.bytesOf(view.memory.held, gpu.memoryBudget) : format.bytes(view.memory.held)} />
        {view.network && <Line name="Network" value={transferred(view.network)} />}
      </dl>
      {view.network?.waiting && (
        <p className="notice warn row tight">
          <Icon name="warning" />
          <span>{view.network.waiting} What is on the GPU goes on; nothing is lost.</span>
        </p>
      )}
      {!over && <p className="help">The run continues in a hidden tab. After the page is closed, it can be resumed.</p>}
      <ProblemList
        label="Notices of the job"
        problems={mergeProblems(
          view.notices.map(({ run: of, problem }) => ({ ...problem, place: view.runs.find(({ id }) => id === of)?.label ?? '' })),
        )}
      />
    </section>
  )
}

function textLine(text: UsedText | undefined, counts: TokenCounts | null): string {
  return counts ? [text?.name, `${counts.windows} × ${counts.length} tokens`].filter(Boolean).join(', ') : '–'
}

function Line({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  )
}
