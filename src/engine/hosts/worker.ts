/** The engine's host in the browser: a dedicated worker with the GPU, the dropped files and the origin-private file system. */
import * as Comlink from 'comlink'
import { WorkbenchError, toErrorData } from '../../errors.ts'
import { Control } from '../control.ts'
import { GramCache } from '../grams.ts'
import { demoFiles, demoTexts } from './demo.ts'
import {
  defaultCacheBudget,
  hubDatasets,
  hubModel,
  loadPushing,
  openHub,
  openHubModel,
  type Pushed,
  type PushPlace,
  type PushProgress,
} from '../hub.ts'
import type {
  CacheInfo,
  DryRunSpec,
  Foretold,
  HubHit,
  Job,
  JobReport,
  JournalSummary,
  ModelOrigin,
  RunEvent,
  TextSource,
  Traffic,
  NamedFile,
} from '../job.ts'
import type { KeptJob, LinearLook } from '../inspect/linear.ts'
import type { Answer, Conversation, TextQuestion } from '../inspect/text.ts'
import { loadHubLibrary } from '../../io/hub/hub.ts'
import { checkNamed, discardJournal, journalTexts, readJournal } from '../keep/journal.ts'
import { exportedFile, jobLock, opfsCacheFolder, opfsSink, opfsStore, readLock, removeExports } from './opfs.ts'
import { loadVocabularies, Session } from '../session.ts'
import { loadReaders, loadTokenizers } from '../texts.ts'

const loadPlanning = () => import('../plan/dry.ts')
const loadRunning = () => import('../run/run.ts')
const loadLooking = () => import('../inspect/linear.ts')
const loadSpeaking = () => import('../inspect/text.ts')
const loadForetelling = () => import('../run/foretell.ts')

/** The page passes its address as the worker's name; the demo's files are next to it. */
async function fetchDemo(name: string): Promise<Blob> {
  const missing = (why: string, cause?: unknown) =>
    new WorkbenchError(
      'file-missing',
      `The demo file ${name} could not be fetched: ${why}.`,
      'Check that the page is served as it was built.',
      { cause },
    )
  const response = await fetch(new URL(`demo/${name}`, self.name)).catch((cause) => {
    throw missing(cause.message, cause)
  })
  if (!response.ok) throw missing(`the server answered ${response.status}`)
  return response.blob()
}

const hub = openHub({
  url: import.meta.env.VITE_HUB_URL || undefined,
  cache: { store: opfsCacheFolder('hub'), budget: defaultCacheBudget },
})
// The page's address, which is this worker's name, may turn on GPU tracing (gpu/webgpu/trace.ts).
const debug = new URL(self.name).searchParams.has('debug') ? console.error : null
const session = new Session(navigator.gpu, demoTexts(fetchDemo), hubDatasets(hub), { debug })
let search: AbortController | null = null
const journal = opfsStore('journal')
const grams = new GramCache()
let origin: ModelOrigin
let control: Control | null = null
/** Ends the text that is being continued. */
let speaking: AbortController | null = null
/** Ends the upload that is under way. */
let pushing: AbortController | null = null

/** @throws WorkbenchError `journal-kept` while a checkpoint is read that the work would remove */
function notWhilePushing(): void {
  if (pushing) throw new WorkbenchError('journal-kept', 'A checkpoint is being uploaded to the Hub.', 'Wait for it, or cancel the upload.')
}

/**
 * Runs work that changes the journal or the checkpoints, in one tab at a time, and not while another reads the journal.
 * @throws WorkbenchError `journal-busy`
 */
function alone<T>(work: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const begin = () =>
      new Promise<void>((begun) => {
        const take = async (lock: Lock | null) => {
          if (!lock) throw await busy().finally(begun)
          begun()
          return work()
        }
        navigator.locks.request(jobLock, { ifAvailable: true }, take).then(resolve, reject)
      })
    navigator.locks.request(readLock, begin).catch(reject)
  })
}

async function busy(): Promise<WorkbenchError> {
  const held = await readJournal(journal, true)
  const what = held ? ` on ${held.model.name} (${held.job.runs.map(({ label }) => label).join(', ')}) since ${when(held.started)}` : ''
  return new WorkbenchError(
    'journal-busy',
    `Another tab of the workbench is running a job${what}.`,
    'Wait until it has finished, or cancel it in that tab.',
  )
}

const when = (iso: string) => new Date(iso).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })

async function run(job: Job, emit: (event: RunEvent) => void, resume: boolean): Promise<JobReport> {
  if (control) throw new WorkbenchError('plan-invalid', 'A job is running already.', 'Wait for it, or cancel it.')
  const mine = new Control()
  control = mine
  try {
    const { runJob } = await loadRunning()
    return await runJob(job, { session, control: mine, emit, sink: opfsSink, journal, grams, network: hub.network }, { resume, origin })
  } finally {
    control = null
  }
}

const api = {
  load: async () => {
    await Promise.all([
      loadTokenizers(),
      loadVocabularies(),
      loadReaders(),
      loadPlanning(),
      loadRunning(),
      loadLooking(),
      loadSpeaking(),
      loadHubLibrary(),
    ])
  },
  catalog: () => session.catalog,
  gpu: () => session.gpuSummary(),
  async openDemo() {
    const check = session.opening()
    const summary = await session.open(await demoFiles(fetchDemo), 'Demo model', null, check)
    origin = { kind: 'demo' }
    return summary
  },
  async open(files: NamedFile[], name?: string) {
    const summary = await session.open(new Map(files.map(({ path, file }) => [path, file])), name)
    origin = { kind: 'files', name: summary.name }
    return summary
  },
  openHub: (repo: string, revision?: string) => openHubModel(hub, session, repo, revision),
  stopHub: () => hub.network.interrupt(),
  async hubSearch(query: string): Promise<HubHit[]> {
    search?.abort(new WorkbenchError('cancelled', 'Replaced by a newer search.'))
    search = new AbortController()
    return hub.search(query, 10, search.signal)
  },
  hubModel: (repo: string, revision?: string) => hubModel(hub, repo, revision),
  setHubToken: (token: string | null) => hub.network.setToken(token),
  hubAccount: async () => (hub.network.signedIn ? hub.account() : null),
  async cacheInfo(): Promise<CacheInfo> {
    const { usage = 0, quota = 0 } = await navigator.storage.estimate()
    return { ...(await hub.cache!.info()), usage, quota, persisted: await navigator.storage.persisted() }
  },
  setCacheBudget: (bytes: number) => hub.cache!.setBudget(bytes),
  clearCache: () => hub.cache!.clear(),
  watchNetwork(listener: (event: { traffic: Traffic } | { notice: { message: string; hint: string } }) => void): void {
    hub.network.listen((event) =>
      listener(event.type === 'traffic' ? { traffic: event.traffic } : { notice: { message: event.message, hint: event.hint } }),
    )
  },
  /** @throws WorkbenchError `text-invalid`, `text-short` for a file that cannot be a text, which is then not registered */
  async addText(file: File, origin: 'file' | 'paste' = 'file'): Promise<TextSource> {
    const { tryText } = await loadReaders()
    await tryText(file.name, file)
    return session.texts.add({
      // Not a counter: texts of the journal come from other visits.
      id: `file-${crypto.randomUUID()}`,
      label: file.name,
      fileName: file.name,
      bytes: file.size,
      origin,
      open: async () => file,
    })
  },
  check: async (job: Job) => (await loadPlanning()).checkJob(job, session),
  dryRun: async (spec: DryRunSpec) => (await loadPlanning()).dryRun(session.model, spec, session),
  /** A measurement keeps nothing; another job replaces the kept one, which has to be named. */
  start: (job: Job, emit: (event: RunEvent) => void, replacing: string | null): Promise<JobReport> =>
    job.runs.length
      ? alone(async () => {
          await checkNamed(journal, replacing)
          notWhilePushing()
          await removeExports()
          return run(job, emit, false)
        })
      : run(job, emit, false),
  /** Resumes the job in the journal on the open model. */
  goOn: (job: Job, emit: (event: RunEvent) => void): Promise<JobReport> =>
    alone(() => {
      notWhilePushing()
      return run(job, emit, true)
    }),
  /** Registers the user's own texts of the job in the journal for this visit. */
  journalTexts: (): Promise<TextSource[]> =>
    navigator.locks.request(readLock, async () => (await journalTexts(journal)).map((text) => session.texts.add(text))),
  journal: (): Promise<{ busy: boolean; summary: JournalSummary | null }> =>
    navigator.locks.request(readLock, async () => {
      const { held = [] } = await navigator.locks.query()
      const busy = held.some(({ name, mode }) => name === jobLock && mode === 'exclusive')
      return { busy, summary: await readJournal(journal, busy) }
    }),
  discard: (named: string) =>
    alone(async () => {
      await checkNamed(journal, named)
      notWhilePushing()
      await discardJournal(journal)
      await removeExports()
    }),
  /** @throws WorkbenchError `journal-mismatch` where the run is not in the journal with what it solved, on the model that is open */
  foretell: (run: string, prompt: string, said: number[]): Promise<Foretold> =>
    alone(async () => {
      const held = await readJournal(journal, true)
      const i = held?.job.runs.findIndex(({ id }) => id === run) ?? -1
      if (i < 0) throw new WorkbenchError('journal-mismatch', 'This run is no longer kept.')
      const { foretellRun } = await loadForetelling()
      return foretellRun(session, journal, i, prompt, said)
    }),
  /** What can still be seen of a linear; `started`: of the job that these runs are of, once it is over. */
  linear: async (name: string, runs: string[], started: string | null): Promise<LinearLook> => {
    const { lookAtLinear } = await loadLooking()
    const look = (why: WorkbenchError, job: KeptJob | null) => lookAtLinear(session, name, runs, { job, why: toErrorData(why), grams })
    if (!started) return look(new WorkbenchError('journal-busy', 'The codes can be seen once the job is over.'), null)
    try {
      return await alone(() =>
        look(new WorkbenchError('journal-mismatch', 'The codes of this job are no longer kept.'), { journal, started }),
      )
    } catch (thrown) {
      if (thrown instanceof WorkbenchError && thrown.code === 'journal-busy') return look(thrown, null)
      throw thrown
    }
  },
  /** Continues a prompt; `started`: of the job that its runs are of. A newer call ends this one. */
  async continueText(question: TextQuestion, started: string | null, tell: (answer: Answer) => void): Promise<Conversation> {
    speaking?.abort(new WorkbenchError('cancelled', 'Another text was begun.'))
    const mine = new AbortController()
    speaking = mine
    const { continueText } = await loadSpeaking()
    return alone(() => continueText(session, started === null ? null : { journal, started }, question, { tell, signal: mine.signal }))
  },
  stopText: () => speaking?.abort(new WorkbenchError('cancelled', 'Stopped.')),
  /** Uploads files of a run below `folder`; one checkpoint at a time. */
  async push({ run, folder, paths }: PushedCheckpoint, place: PushPlace, tell: (progress: PushProgress) => void): Promise<Pushed> {
    notWhilePushing()
    const mine = new AbortController()
    pushing = mine
    try {
      const files = await Promise.all(
        paths.map(async (path) => {
          const file = await exportedFile(run, path)
          return { path: path.slice(folder.length), bytes: file, content: file }
        }),
      )
      const { push } = await loadPushing()
      return await push(hub, place, files, { tell, signal: mine.signal })
    } finally {
      pushing = null
    }
  },
  stopPush: () => pushing?.abort(new WorkbenchError('cancelled', 'The upload was cancelled.', 'What is in the repository stays there.')),
  pause: () => control?.pause(),
  resume: () => control?.resume(),
  cancel: () => control?.cancel(),
}

/** A checkpoint of a run: its files, whose paths begin with `folder`, which is left out of them in the repository. */
export interface PushedCheckpoint {
  run: string
  folder: string
  paths: string[]
}

export type WorkerApi = typeof api

// Errors are sent as plain data, so that code and hint survive; client.ts converts them back.
const thrown = Comlink.transferHandlers.get('throw') as Comlink.TransferHandler<{ value: unknown }, unknown>
thrown.serialize = ({ value }) => [{ isError: false, value: toErrorData(value) }, []]

Comlink.expose(api)
