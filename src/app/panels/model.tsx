/** The Model step: open a model and see its properties. */
import { Suspense, useMemo, useState } from 'react'
import { hubUrl } from '../../engine/hosts/client.ts'
import type { ModelSummary, TensorInfo } from '../../engine/job/model.ts'
import { inWords } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import { canPickFolders, filesOfInput, pickFolder } from '../files.ts'
import { shortName } from '../charts/names.ts'
import * as format from '../format.ts'
import { demoSizes, firstMethods } from '../plan.ts'
import { isBusy, isError } from '../store/state.ts'
import { later } from '../later.ts'
import { Button, FilesButton } from './controls.tsx'
import { Icon } from './icons.tsx'
import { Scroll, usePages } from './tables.tsx'
import { HubPanel, transferred } from './hub.tsx'
import { Remedies } from './hub-model.tsx'
import { Fact, GpuMissing, GpuVerdict, SoftwareNotice } from './gpu.tsx'
import { ErrorNote, ProblemList } from './problems.tsx'
import './model.css'

const UnfinishedJob = later(async () => (await import('./jobs.tsx')).UnfinishedJob)
const JobList = later(async () => (await import('./jobs.tsx')).JobList)
const ReplayNote = later(async () => (await import('./jobs.tsx')).ReplayNote)
const StorePanel = later(async () => (await import('./grams.tsx')).StorePanel)
const DryPanel = later(async () => (await import('./dry.tsx')).DryPanel)

export function ModelPanel() {
  const kept = useView((state) => state.jobs.length > 0)
  // Beside a model that is open, the plan says it.
  const replaying = useView(({ replay, lacks, model }) => replay !== null && (lacks !== null || model.state !== 'ready'))
  return (
    <>
      <Suspense>
        {replaying && <ReplayNote />}
        {kept && <UnfinishedJob />}
      </Suspense>
      <Chosen />
    </>
  )
}

function KeptJobs() {
  const any = useView(({ jobs, discarded }) => jobs.length > 0 || discarded.length > 0)
  return <Suspense>{any && <JobList />}</Suspense>
}

function Chosen() {
  const gpu = useView((state) => state.gpu)
  if (gpu.state === 'missing') {
    return (
      <>
        <GpuMissing error={gpu.error} />
        <Opened />
      </>
    )
  }
  return <Opened />
}

/** The model, or the way to one. Without a GPU it can be looked at and checked for other devices. */
function Opened() {
  const model = useView((state) => state.model)
  const workbench = useWorkbench()
  switch (model.state) {
    case 'none':
      return (
        <>
          <DropZone />
          <KeptJobs />
        </>
      )
    case 'reading':
      return <Reading name={model.name} hub={model.hub !== null} before={model.before} />
    case 'refused': {
      const { hub, name, error } = model
      return (
        <>
          <ErrorNote title={`Cannot use ${name}`} error={error}>
            {hub && <Remedies place={hub} code={error.code} again={() => workbench.open({ kind: 'hub', ...hub }, 'plan')} />}
          </ErrorNote>
          <DropZone again />
          <KeptJobs />
        </>
      )
    }
    case 'ready':
      return <Facts summary={model.summary} demo={model.demo} />
  }
}

function Reading({ name, hub, before }: { name: string; hub: boolean; before: number }) {
  const workbench = useWorkbench()
  const traffic = useView((state) => state.traffic)
  return (
    <section className="panel reading" aria-busy="true">
      <h1 tabIndex={-1}>Reading {name}</h1>
      <p className="hint">Configuration, tokenizer and the headers of the weights. The weights themselves are read block by block later.</p>
      <div className="bar indeterminate" role="progressbar" aria-label="Reading" />
      {hub && (
        <div className="row">
          <Button icon="cancel" onClick={workbench.stopReading}>
            Cancel
          </Button>
          <span className="figures">{traffic && transferred({ ...traffic, fetched: traffic.fetched - before, cached: 0 })}</span>
          <span role="status">{traffic?.waiting}</span>
        </div>
      )}
    </section>
  )
}

// ---------------------------------------------------------------- nothing yet

function DropZone({ again = false }: { again?: boolean }) {
  const workbench = useWorkbench()
  const ready = useView((state) => state.gpu.state === 'ready' && state.catalog !== null)
  const missing = useView((state) => state.gpu.state === 'missing')
  const catalog = useView((state) => state.catalog)
  const methods = catalog ? firstMethods(catalog).map(({ label }) => label) : ['…']
  // Something else is the next thing to do.
  const looking = useView(({ look, jobs }) => look !== null || jobs.some(({ finished }) => !finished))
  return (
    <div className={`start ${again ? 'again' : ''}`}>
      <section className="drop-zone" aria-labelledby="drop-title">
        <h1 id="drop-title" tabIndex={-1}>
          {again ? 'Drop another model folder' : 'Drop a model folder'}
        </h1>
        <p>
          config.json, tokenizer.json and one or many .safetensors files, as a folder or loose; a GPTQ, AWQ or compressed-tensors checkpoint
          to measure; a config.json alone, to check what its model would take; a job file, to repeat a job; a report, to see its results;
          or, when its model is open, a Gram store.
        </p>
        <div className="row centre">
          <OpenButtons kind="plain" />
        </div>
        <p className="hint">Everything stays on this machine.</p>
      </section>
      <div className="start-side">
        <section className="panel" aria-labelledby="demo-title">
          <h2 id="demo-title">{missing ? 'Look around' : 'Or try it first'}</h2>
          <p>
            A small story model (0.92{'\u202f'}M parameters, 4 blocks) with {inWords(methods, 'and')} at 2 bits, calibrated on{' '}
            {demoSizes.calibration.samples} windows of {demoSizes.calibration.length} tokens and evaluated on {demoSizes.evaluation.samples}{' '}
            of {demoSizes.evaluation.length}, from the built-in texts.
          </p>
          <div className="row">
            {missing ? (
              <Button onClick={() => workbench.open({ kind: 'demo' })}>Inspect the demo model</Button>
            ) : (
              <Button kind={looking ? 'plain' : 'primary'} disabled={!ready} onClick={workbench.tryDemo}>
                Try the demo
              </Button>
            )}
          </div>
          <GpuVerdict />
        </section>
        <HubPanel />
      </div>
    </div>
  )
}

function OpenButtons({ kind }: { kind: 'plain' | 'quiet' }) {
  const workbench = useWorkbench()
  return (
    <>
      {canPickFolders() ? (
        <Button kind={kind} icon="folder" onClick={() => workbench.take(pickFolder())}>
          Choose a folder
        </Button>
      ) : (
        <FilesButton kind={kind} icon="folder" folder onFiles={(files) => workbench.take(Promise.resolve(filesOfInput(files)))}>
          Choose a folder
        </FilesButton>
      )}
      <FilesButton kind={kind} icon="file" onFiles={(files) => workbench.take(Promise.resolve(filesOfInput(files)))}>
        Choose files
      </FilesButton>
    </>
  )
}

// ---------------------------------------------------------------- a model

function Facts({ summary, demo }: { summary: ModelSummary; demo: boolean }) {
  const workbench = useWorkbench()
  const busy = useView(isBusy)
  const notices = useView((state) => state.networkNotices)
  const [searching, setSearching] = useState(false)
  const refused = summary.problems.some(isError)
  const missing = useView((state) => state.gpu.state === 'missing')
  const { quantized, source } = summary
  return (
    <>
      <SoftwareNotice />
      {searching && !busy && <HubPanel />}
      <section className="panel" aria-labelledby="model-name">
        <div className="panel-head">
          <div>
            <h1 id="model-name" tabIndex={-1}>
              {summary.name}
            </h1>
            <p className="hint">{missing ? 'Opened to be looked at.' : about(summary, demo)}</p>
          </div>
          <div className="row">
            {!busy && (
              <>
                <Button kind="quiet" icon="search" aria-expanded={searching} onClick={() => setSearching(!searching)}>
                  Choose from the Hub
                </Button>
                <OpenButtons kind="quiet" />
                {!demo && !missing && (
                  <Button kind="quiet" icon="play" onClick={workbench.tryDemo}>
                    Try the demo
                  </Button>
                )}
              </>
            )}
            <Button kind="primary" disabled={refused || missing} onClick={() => workbench.go('plan')}>
              {quantized ? 'Measure perplexity' : 'Plan runs'}
            </Button>
          </div>
        </div>
        {missing && (
          <p className="notice">
            Runs and measurements need a GPU. The check below forecasts their time and memory on a device that has one.
          </p>
        )}
        {busy && <p className="notice">A job is running on this model. Another model can be opened when it has finished.</p>}
        <ProblemList problems={[...summary.problems, ...(source ? notices : [])]} label="Problems of the model" />
        <dl className="facts wide">
          {source && (
            <Fact name="From the Hub">
              <a href={`${hubUrl}/${source.repo}/tree/${encodeURIComponent(source.revision)}`} target="_blank" rel="noreferrer">
                {source.repo}
              </a>
              , {source.ref === source.revision ? '' : `${source.ref}, `}
              <code>{source.revision.slice(0, 8)}</code>
            </Fact>
          )}
          <Fact name="Family">{summary.familyLabel}</Fact>
          <Fact name="Parameters">{format.parameters(summary.parameters)}</Fact>
          <Fact name={quantized ? 'In quantized linears' : 'To be quantized'}>
            {format.parameters(summary.quantizable)} ({format.percent(summary.quantizable / summary.parameters)})
          </Fact>
          <Fact name="Data type">{summary.dtype}</Fact>
          <Fact name="Size of the tensors">{format.bytes(summary.bytes)}</Fact>
          <Fact name="Blocks">{summary.blocks}</Fact>
          <Fact name="Hidden size">{format.count(summary.hidden)}</Fact>
          <Fact name="Feed-forward size">{format.count(summary.ffn)}</Fact>
          <Fact name="Heads">
            {summary.heads}
            {summary.kvHeads !== summary.heads && ` (${summary.kvHeads} for keys and values)`}
          </Fact>
          <Fact name="Positions">{summary.maxPositions === null ? 'any number (ALiBi)' : format.count(summary.maxPositions)}</Fact>
          <Fact name="Vocabulary">{format.count(summary.vocab)}</Fact>
          <Fact name="Output head">{summary.tiedHead ? 'shares the embedding' : 'its own'}</Fact>
          <Fact name="Tokenizer">
            {summary.tokenizer ? `${summary.tokenizer.kind}, ${format.count(summary.tokenizer.vocab)} tokens` : 'not there'}
          </Fact>
          <Fact name="Licence">{summary.license ?? 'not given'}</Fact>
        </dl>
        {!quantized && summary.otherFiles.length > 0 && (
          <p className="hint">Copied unchanged into a checkpoint: {summary.otherFiles.map((file) => file.name).join(', ')}.</p>
        )}
      </section>
      <Stored />
      <KeptJobs />
      {!quantized && (
        <Suspense>
          <DryPanel key={summary.name} summary={summary} />
        </Suspense>
      )}
      <Tensors tensors={summary.tensors} linears={summary.linears.map(({ name }) => name)} />
    </>
  )
}

/** The Gram store of the model, where one is open. */
function Stored() {
  const any = useView((state) => state.grams !== null)
  return <Suspense>{any && <StorePanel />}</Suspense>
}

function about({ quantized, problems, tokenizer }: ModelSummary, demo: boolean): string {
  if (problems.some(isError)) return 'Cannot be used; the list says why.'
  if (tokenizer === null) return 'No weights: check only. Nothing but config.json was opened, so this model can be planned, not run.'
  if (!quantized) return demo ? 'The demo model, trained by this project on its own synthetic stories.' : 'Ready to be planned.'
  const parts = [
    `${quantized.bits}-bit ${quantized.format}`,
    quantized.groupSize > 0 ? `groups of ${quantized.groupSize}` : 'full row',
    quantized.symmetric ? 'symmetric' : 'asymmetric',
    ...(quantized.actOrder ? ['activation order'] : []),
    ...(quantized.method ? [`made with ${quantized.method}`] : []),
  ]
  return `Already quantized: ${parts.join(', ')}. Its perplexity can be measured.`
}

type SortKey = 'name' | 'bytes'

function Tensors({ tensors, linears }: { tensors: TensorInfo[]; linears: string[] }) {
  const [search, setSearch] = useState('')
  const [sort, setSort] = useState<SortKey | null>(null)
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean)
    const kept = tensors.filter((tensor) =>
      words.every((word) => `${tensor.name} ${tensor.dtype} ${tensor.file}`.toLowerCase().includes(word)),
    )
    if (sort === 'name') kept.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
    if (sort === 'bytes') kept.sort((a, b) => b.bytes - a.bytes)
    return kept
  }, [tensors, search, sort])
  const pages = usePages(found, 50)
  const header = (key: SortKey, text: string, className = '') => (
    <th scope="col" className={className} aria-sort={sort === key ? (key === 'bytes' ? 'descending' : 'ascending') : undefined}>
      <button type="button" className="sort" onClick={() => setSort(sort === key ? null : key)}>
        {text}
        {sort === key && <Icon name="down" />}
      </button>
    </th>
  )
  return (
    <section className="panel" aria-labelledby="tensors">
      <div className="panel-head">
        <h2 id="tensors">Tensors</h2>
        <input
          className="input search"
          type="search"
          placeholder="Search, e.g. layers.0 q_proj"
          aria-label="Search tensors"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      <Scroll label="Tensor table">
        <table>
          <thead>
            <tr>
              {header('name', 'Name')}
              <th scope="col">Data type</th>
              <th scope="col" className="number">
                Shape
              </th>
              {header('bytes', 'Size', 'number')}
              <th scope="col">File</th>
            </tr>
          </thead>
          <tbody>
            {pages.rows.map((tensor) => (
              <tr key={`${tensor.file}:${tensor.name}`}>
                <td className="path">
                  <TensorName name={tensor.name} linears={linears} />
                </td>
                <td>{tensor.dtype}</td>
                <td className="number">{format.shape(tensor.shape)}</td>
                <td className="number">{format.bytes(tensor.bytes)}</td>
                <td>{tensor.file}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
      {found.length === 0 && <p className="hint">No tensor matches “{search}”.</p>}
      <div className="table-foot">
        <span className="hint">{format.plural(found.length, 'tensor')}</span>
        {pages.controls}
      </div>
    </section>
  )
}

/** Leads to the drawer of the linear that a tensor belongs to, if it belongs to one. */
function TensorName({ name, linears }: { name: string; linears: string[] }) {
  const workbench = useWorkbench()
  const module = name.slice(0, name.lastIndexOf('.'))
  if (!linears.some((linear) => module.endsWith(`.${linear}`))) return name
  return (
    <button type="button" className="link" title={`Open ${shortName(module)}`} onClick={() => workbench.openLinear(module)}>
      {name}
    </button>
  )
}
