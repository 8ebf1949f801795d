/** The engine's host in the browser: a dedicated worker with the GPU, the dropped files and the origin-private file system. */
import * as Comlink from 'comlink'
import { createStore, get, set } from 'idb-keyval'
import { WorkbenchError, toErrorData } from '../../errors.ts'
import { Control } from '../control.ts'
import { GramCache, runKey } from '../grams.ts'
import { demoFiles, demoTexts } from './demo.ts'
import type { Pushed, PushPlace, PushProgress } from '../hub.ts'
import type { RunEvent } from '../job/events.ts'
import type { DryProgress, DryRunSpec } from '../job/forecast.ts'
import type { Foretold } from '../job/foretold.ts'
import type { CacheInfo, HubHit, Traffic } from '../job/hub.ts'
import type { Job } from '../job/job.ts'
import type { KeptRun } from '../job/kept.ts'
import type { Budget, Mix, MixWidths } from '../job/mix.ts'
import type { ModelOrigin, NamedFile } from '../job/model.ts'
import type { JobReport } from '../job/report.ts'
import type { LayerResult } from '../job/result.ts'
import type { TextSource } from '../job/texts.ts'
import type { KeptJournal, LinearLook, Seen, SigmaLook } from '../inspect/linear.ts'
import type { Mixer } from '../run/mix.ts'
import type { LabSetting } from '../inspect/lab.ts'
import type { OpenedStore, StoreSummary } from '../inspect/store.ts'
import type { Answer, Conversation, TextQuestion } from '../inspect/text.ts'
import type { JobFile } from '../job-file.ts'
import { loadFormats } from '../../io/formats/later.ts'
import { hubDatasets } from '../../data/datasets.ts'
import { defaultCacheBudget } from '../../io/hub/cache.ts'
import { loadHubLibrary, openHub } from '../../io/hub/hub.ts'
import { memoryStore } from '../../io/memory.ts'
import { journalTexts, readHead } from '../keep/journal-files.ts'
import { readJournal } from '../keep/journal-summary.ts'
import {
  alone,
  aloneWith,
  deleteJob,
  dropJobCheckpoints,
  journalOf,
  keptJobs,
  keptJournal,
  looking,
  restoreJob,
  sinkOf,
  sweepJobs,
} from './kept.ts'
import { exportedFile, opfsCacheFolder, opfsParking } from './opfs.ts'
import type { NoteStore } from '../device-notes.ts'
import { loadOpening, Session } from '../session.ts'
import { loadReaders, loadTokenizers } from '../texts.ts'

const loadHubModels = () => import('../hub.ts')
const loadPlanning = () => import('../plan/dry.ts')
const loadRunning = () => import('../run/run.ts')
const loadMixing = () => import('../run/mix.ts')
const loadLooking = () => import('../inspect/linear.ts')
const loadTrying = () => import('../inspect/lab.ts')
const loadStores = () => import('../inspect/store.ts')
const loadSpeaking = () => import('../inspect/text.ts')
const loadJobFiles = () => import('../job-file.ts')
const loadReports = () => import('../report-file.ts')
const loadReplaying = () => import('../keep/replay.ts')
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
const devices = createStore('quantease-devices', 'notes')
const browserNotes: NoteStore = { get: (device) => get(device, devices), set: (device, note) => set(device, note, devices) }
const session = new Session(navigator.gpu, demoTexts(fetchDemo), hubDatasets(hub), { debug }, browserNotes)
session.parking = opfsParking()
let search: AbortController | null = null
const grams = new GramCache()
let store: OpenedStore | null = null
let origin: ModelOrigin
let control: Control | null = null
/** The latest probe for a mixture, and of what. */
let probed: { key: string; mixer: Mixer } | null = null
/** Ends the text that is being continued. */
let speaking: AbortController | null = null
/** The upload that is under way. */
let pushing: { job: string; end: AbortController } | null = null

/** @throws WorkbenchError `journal-kept` while a checkpoint of the job is read, which the work would remove */
function notWhilePushing(job: string): void {
  if (pushing?.job === job) throw beingPushed()
}

const beingPushed = () =>
  new WorkbenchError('journal-kept', 'A checkpoint is being uploaded to the Hub.', 'Wait for it, or cancel the upload.')

/** `id`: of the kept job that it is; null where nothing is kept. */
async function run(id: string | null, job: Job, emit: (event: RunEvent) => void, resume: boolean): Promise<JobReport> {
  if (control) throw new WorkbenchError('plan-invalid', 'A job is running already.', 'Wait for it, or cancel it.')
  const mine = new Control()
  control = mine
  try {
    const { runJob } = await loadRunning()
    const places = id === null ? { sink: sinkOf(''), journal: memoryStore() } : { sink: sinkOf(id), journal: journalOf(id) }
    return await runJob(job, { session, control: mine, emit, ...places, grams, network: hub.network }, { resume, origin })
  } finally {
    control = null
  }
}

/** Fills a budget, from the latest probe where that was of the same model, texts and run. */
async function mix(job: Job, budget: Budget, emit: (event: RunEvent) => void): Promise<Mix> {
  const { Mixer } = await loadMixing()
  const key = JSON.stringify([session.model.folder.name, session.source, job])
  if (probed?.key === key && probed.mixer.opened === session.model) return probed.mixer.fill(budget)
  if (control) throw new WorkbenchError('plan-invalid', 'A job is running already.', 'Wait for it, or cancel it.')
  const mine = new Control()
  control = mine
  try {
    const nowhere = () => Promise.reject(new Error('A probe writes nothing.'))
    const host = { session, control: mine, emit, sink: nowhere, journal: memoryStore(), network: hub.network }
    probed = { key, mixer: await Mixer.probe(job, budget, host) }
    return probed.mixer.fill(budget)
  } finally {
    control = null
  }
}

/** The journal of a kept job with its start; null where it is gone. */
async function journalHeld(id: string): Promise<KeptJournal | null> {
  const journal = journalOf(id)
  const head = await readHead(journal)
  return head && { journal, started: head.started }
}

/** The diagonal of a linear's Σ in the open store; null without one. */
async function storeLook(name: string): Promise<Seen<SigmaLook> | null> {
  if (!store) return null
  try {
    return { seen: (await loadLooking()).lookAtSigma(await store.stageOf(name)) }
  } catch (thrown) {
    return { missing: toErrorData(thrown) }
  }
}

const api = {
  load: async () => {
    await Promise.all([
      loadTokenizers(),
      loadOpening(),
      loadHubModels(),
      loadReaders(),
      loadPlanning(),
      loadRunning(),
      loadMixing(),
      loadLooking(),
      loadSpeaking(),
      loadTrying(),
      loadStores(),
      loadReplaying(),
      loadHubLibrary(),
      loadFormats(),
      loadJobFiles(),
      loadReports(),
      loadForetelling(),
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
  openHub: async (repo: string, revision?: string) => (await loadHubModels()).openHubModel(hub, session, repo, revision),
  stopHub: () => hub.network.interrupt(),
  async hubSearch(query: string): Promise<HubHit[]> {
    search?.abort(new WorkbenchError('cancelled', 'Replaced by a newer search.'))
    search = new AbortController()
    return hub.search(query, 10, search.signal)
  },
  hubModel: async (repo: string, revision?: string) => (await loadHubModels()).hubModel(hub, repo, revision),
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
  async readJobFile(file: Blob, name: string): Promise<JobFile | null> {
    const { jobFileCap, looksLikeJob, readJobFile } = await loadJobFiles()
    if (file.size > jobFileCap) return null
    const data = new Uint8Array(await file.arrayBuffer())
    return looksLikeJob(data) ? readJobFile(data, name) : null
  },
  async readReport(file: Blob, name: string): Promise<JobReport | null> {
    const { readReport } = await loadReports()
    return readReport(new Uint8Array(await file.arrayBuffer()), name)
  },
  planOfFile: async (file: JobFile) => (await loadReplaying()).planOfFile(file, session),
  jobFile: async (of: Job | { kept: string }): Promise<JobFile> => {
    const { jobFileOf, plannedJobFile } = await loadJobFiles()
    if (!('kept' in of))
      return plannedJobFile(of, session.source ? { kind: 'hub', ...session.source } : origin, (id) => session.texts.named(id))
    const { summary } = await keptJournal(of.kept)
    if (!summary) throw new WorkbenchError('journal-mismatch', 'This job is no longer kept.')
    if (summary.report) return jobFileOf({ ...summary.report, origin: summary.origin })
    const own = await looking(() => journalTexts(journalOf(of.kept)))
    return plannedJobFile(summary.job, summary.origin, (id) => {
      const text = own.find((one) => one.id === id)
      return text && { name: text.label, origin: text.origin }
    })
  },
  dryRun: async (spec: DryRunSpec, hear: (progress: DryProgress) => void) =>
    (await loadPlanning()).dryRun(session.model, spec, session, hear),
  widths: async (job: Job): Promise<MixWidths> => (await loadMixing()).widthsOf(job, session),
  mix,
  /** A job is kept as `id`; a measurement is not. */
  start: (id: string, job: Job, emit: (event: RunEvent) => void): Promise<JobReport> =>
    job.runs.length ? alone(id, () => run(id, job, emit, false), true) : run(null, job, emit, false),
  /** Resumes a kept job on the open model. */
  goOn: (id: string, job: Job, emit: (event: RunEvent) => void): Promise<JobReport> =>
    alone(
      id,
      () => {
        notWhilePushing(id)
        return run(id, job, emit, true)
      },
      true,
    ),
  /** Registers the user's own texts of a kept job for this visit. */
  journalTexts: (id: string): Promise<TextSource[]> =>
    looking(async () => (await journalTexts(journalOf(id))).map((text) => session.texts.add(text))),
  jobs: keptJobs,
  journal: keptJournal,
  async discard(id: string): Promise<void> {
    notWhilePushing(id)
    await deleteJob(id)
  },
  restore: restoreJob,
  sweep: sweepJobs,
  async dropCheckpoints(id: string): Promise<void> {
    notWhilePushing(id)
    await dropJobCheckpoints(id)
  },
  /** @throws WorkbenchError `journal-mismatch` where the run is not kept with what it solved, on the model that is open */
  foretell: ({ job, run }: KeptRun, prompt: string, said: number[]): Promise<Foretold> =>
    alone(job, async () => {
      const journal = journalOf(job)
      const held = await readJournal(journal, true)
      const i = held?.job.runs.findIndex(({ id }) => id === run) ?? -1
      if (i < 0) throw new WorkbenchError('journal-mismatch', 'This run is no longer kept.')
      const { foretellRun } = await loadForetelling()
      return foretellRun(session, journal, i, prompt, said)
    }),
  /** What can still be seen of a linear, and of what these runs made of it, by any ids. */
  async linear(name: string, runs: Record<string, KeptRun>): Promise<LinearLook> {
    const { lookAtLinear } = await loadLooking()
    const lookAt = async (id: string | null): Promise<LinearLook> => {
      const own = Object.entries(runs).filter(([, { job }]) => job === id)
      const names = own.map(([, { run }]) => run)
      const look = (why: WorkbenchError, job: KeptJournal | null) =>
        lookAtLinear(session, name, names, { job, why: toErrorData(why), grams })
      const gone = new WorkbenchError('journal-mismatch', 'The codes of this job are no longer kept.')
      const found = await (id === null ? look(gone, null) : alone(id, async () => look(gone, await journalHeld(id)))).catch((thrown) => {
        if (!(thrown instanceof WorkbenchError && thrown.code === 'journal-busy')) throw thrown
        return look(control ? new WorkbenchError('journal-busy', 'The codes can be seen once the job is over.') : thrown, null)
      })
      return { ...found, runs: Object.fromEntries(own.map(([shown, { run }]) => [shown, found.runs[run]])) }
    }
    const jobs = [...new Set(Object.values(runs).map(({ job }) => job))]
    const looks: LinearLook[] = []
    for (const id of jobs.length ? jobs : [null]) looks.push(await lookAt(id))
    return { ...looks[0], store: await storeLook(name), runs: Object.assign({}, ...looks.map((look) => look.runs)) }
  },
  /** Continues a prompt; `kept`: of what job and run its runs are. A newer call ends this one. */
  async continueText(question: TextQuestion, kept: Record<string, KeptRun>, tell: (answer: Answer) => void): Promise<Conversation> {
    speaking?.abort(new WorkbenchError('cancelled', 'Another text was begun.'))
    const mine = new AbortController()
    speaking = mine
    const { continueText } = await loadSpeaking()
    const runs = question.runs.map((id) => ({ id, run: kept[id].run, journal: journalOf(kept[id].job) }))
    const jobs = new Set(question.runs.map((id) => kept[id].job))
    return aloneWith([...jobs], () => continueText(session, runs, question, { tell, signal: mine.signal }))
  },
  /** What a setting makes of a linear, on the inputs that a kept run saw. */
  tryLinear: (name: string, { job, run }: KeptRun, setting: LabSetting): Promise<LayerResult> =>
    alone(job, async () => {
      const { tryLinear, notInMemory } = await loadTrying()
      const held = await journalHeld(job)
      const stage = held && grams.of(runKey(held.started, run), name)
      if (!stage) throw notInMemory()
      return tryLinear(session, name, stage, setting)
    }),
  /** Opens a Gram store for the open model, in the place of an earlier one; null closes it. */
  async openStore(picked: { files: NamedFile[]; name: string } | null): Promise<StoreSummary | null> {
    store = null
    if (!picked) return null
    const { OpenedStore } = await loadStores()
    store = await OpenedStore.open(session, new Map(picked.files.map(({ path, file }) => [path, file])), picked.name)
    return store.summary
  },
  /** What a setting makes of a linear, by the Gram store that is open. */
  async tryStored(name: string, setting: LabSetting): Promise<LayerResult> {
    if (control) throw new WorkbenchError('plan-invalid', 'A job is running.', 'Wait for it, or cancel it.')
    if (!store) throw new WorkbenchError('file-missing', 'No Gram store is open.', 'Drop its folder again.')
    const { tryLinear } = await loadTrying()
    return tryLinear(session, name, await store.stageOf(name), setting)
  },
  stopText: () => speaking?.abort(new WorkbenchError('cancelled', 'Stopped.')),
  /** Uploads files of a run below `folder`; one checkpoint at a time. */
  async push({ kept, folder, paths }: PushedCheckpoint, place: PushPlace, tell: (progress: PushProgress) => void): Promise<Pushed> {
    if (pushing) throw beingPushed()
    const mine = new AbortController()
    pushing = { job: kept.job, end: mine }
    try {
      const files = await Promise.all(
        paths.map(async (path) => {
          const file = await exportedFile(kept.job, kept.run, path)
          return { path: path.slice(folder.length), bytes: file, content: file }
        }),
      )
      const { push } = await (await loadHubModels()).loadPushing()
      return await push(hub, place, files, { tell, signal: mine.signal })
    } finally {
      pushing = null
    }
  },
  stopPush: () =>
    pushing?.end.abort(new WorkbenchError('cancelled', 'The upload was cancelled.', 'What is in the repository stays there.')),
  pause: () => control?.pause(),
  resume: () => control?.resume(),
  cancel: () => control?.cancel(),
}

/** A checkpoint of a run: its files, whose paths begin with `folder`, which is left out of them in the repository. */
export interface PushedCheckpoint {
  kept: KeptRun
  folder: string
  paths: string[]
}

export type WorkerApi = typeof api

// Errors are sent as plain data, so that code and hint survive; client.ts converts them back.
const thrown = Comlink.transferHandlers.get('throw') as Comlink.TransferHandler<{ value: unknown }, unknown>
thrown.serialize = ({ value }) => [{ isError: false, value: toErrorData(value) }, []]

Comlink.expose(api)
