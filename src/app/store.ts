/** The page's state and everything that can be done to it. No React here, so that it can be driven without a page. */
import { createStore, type StoreApi } from 'zustand/vanilla'
import type { Engine, HubAccount, ModelSource } from '../engine/hosts/client.ts'
import type {
  CacheInfo,
  CalibrationSpec,
  Catalog,
  DryRunSpec,
  GpuSummary,
  HubModel,
  Job,
  JobCheck,
  JobReport,
  JournalSummary,
  ModelOrigin,
  ModelSummary,
  OptionValue,
  Problem,
  RunEvent,
  RunSpec,
  TextChoice,
  TextSource,
  Traffic,
} from '../engine/job.ts'
import { type ErrorData, toErrorData, WorkbenchError } from '../errors.ts'
import { type Picked, type Source, isText, pickAgain, rememberFolder, saveAsZip, saveToFolder } from './files.ts'
import type { ErrorUnit } from './format.ts'
import * as plan from './plan.ts'
import { abort, begin, end, type JobView, reduce } from './reduce.ts'
import { exportNames } from './report.ts'

export const steps = ['model', 'plan', 'run', 'results'] as const
export type Step = (typeof steps)[number]

export type Theme = 'system' | 'light' | 'dark'

/** Kept in the browser between visits. */
export interface Preferences {
  theme: Theme
  errorUnit: ErrorUnit
  /** Single keys such as `?` act on the page. */
  keys: boolean
}

/** A model on the Hub, as it was asked for. */
export interface HubPlace {
  repo: string
  revision: string
}

/** What is known of a model on the Hub before it is opened. */
export type Look =
  | ({ state: 'asking' } & HubPlace)
  | ({ state: 'known'; model: HubModel } & HubPlace)
  | ({ state: 'failed'; error: ErrorData } & HubPlace)

export type Saving =
  | { state: 'saving'; bytes: number; total: number }
  | { state: 'saved'; as: string }
  | { state: 'failed'; error: ErrorData }

/** What the person is asked before something is done that cannot be undone. */
export interface Question {
  title: string
  lines: string[]
  /** The button that does it. */
  action: string
}

/** Something failed that belongs to no panel. `title`: what was tried; `hub`: the place on the Hub that it was tried with. */
export type Fault = ErrorData & { title?: string; hub?: HubPlace | null }

export interface State {
  step: Step
  preferences: Preferences
  gpu: { state: 'opening' } | { state: 'ready'; summary: GpuSummary } | { state: 'missing'; error: ErrorData }
  catalog: Catalog | null
  model:
    | { state: 'none' }
    /** `next`: the step that is shown when it is read; `before`: bytes that had come over the network when reading began. */
    | { state: 'reading'; name: string; hub: HubPlace | null; next: Step; before: number }
    | { state: 'ready'; summary: ModelSummary; demo: boolean }
    | { state: 'refused'; name: string; hub: HubPlace | null; error: ErrorData }
  look: Look | null
  account: HubAccount | null
  /** The form for a token is shown. */
  signingIn: boolean
  /** Over the network since the page was opened. */
  traffic: Traffic | null
  /** As it was when it was last looked at. */
  cache: CacheInfo | null
  /** What did not go the plain way outside of jobs. */
  networkNotices: Problem[]
  texts: TextSource[]
  /** The job being planned; null until a model is open. */
  job: Job | null
  /** The run whose options are shown. */
  chosen: string | null
  check: plan.Check
  /** The job that the journal holds; `busy`: another tab is at work on it. `lacks`: its folder has to be given again. */
  journal: { busy: boolean; summary: JournalSummary; lacks: boolean } | null
  /** The job that runs or ran, and the model it runs on. */
  view: JobView | null
  ran: ModelSummary | null
  /** What the live region says: everything announced since the page was last redrawn. */
  spoken: string
  /** A control that was pressed and has not taken effect yet. */
  asked: 'pause' | 'resume' | 'cancel' | null
  saving: Record<string, Saving>
  fault: Fault | null
  question: Question | null
  /** A text that was dropped without a word on what it is for; until it is settled, what the job calibrated on before. */
  dropped: { text: TextSource; before: CalibrationSpec | null } | null
}

/** Charts redraw at most this often, however chatty the engine is. */
const redrawEvery = 250
const checkAfter = 300
/** What refuses a job before it touches what is kept. */
const notBegun = new Set<ErrorData['code']>(['journal-busy', 'journal-mismatch', 'journal-kept'])

export type Workbench = ReturnType<typeof createWorkbench>

export function createWorkbench(engine: Engine) {
  const store: StoreApi<State> = createStore<State>(() => ({
    step: 'model',
    preferences: readPreferences(),
    gpu: { state: 'opening' },
    catalog: null,
    model: { state: 'none' },
    look: null,
    account: null,
    signingIn: false,
    traffic: null,
    cache: null,
    networkNotices: [],
    texts: [],
    job: null,
    chosen: null,
    check: { state: 'pending' },
    journal: null,
    view: null,
    ran: null,
    spoken: '',
    asked: null,
    saving: {},
    fault: null,
    question: null,
    dropped: null,
  }))
  const get = store.getState
  const set = store.setState
  const fail = (thrown: unknown) => set({ fault: toErrorData(thrown) })

  // ---------------------------------------------------------------- questions

  let answerTo: (yes: boolean) => void = () => {}

  /** Asks before what cannot be undone; a newer question takes the place of one that is open. */
  function confirm(question: Question): Promise<boolean> {
    answer(false)
    set({ question })
    return new Promise((resolve) => {
      answerTo = resolve
    })
  }

  function answer(yes: boolean) {
    set({ question: null })
    answerTo(yes)
  }

  // ---------------------------------------------------------------- start

  const catalog = engine.catalog().then((value) => {
    set({ catalog: value, texts: value.texts })
    return value
  })
  catalog.catch(fail)

  async function openGpu() {
    set({ gpu: { state: 'opening' } })
    try {
      set({ gpu: { state: 'ready', summary: await engine.gpu() } })
    } catch (thrown) {
      set({ gpu: { state: 'missing', error: toErrorData(thrown) } })
    }
  }
  openGpu()

  // ---------------------------------------------------------------- journal

  async function readJournal() {
    try {
      const { busy, summary } = await engine.journal()
      set({ journal: summary && { busy, summary, lacks: false } })
      if (!busy) return
      await engine.idle()
      await readJournal()
    } catch {
      // Where nothing can be kept, there is nothing to go on with.
      set({ journal: null })
    }
  }
  readJournal().then(() => {
    const found = get().journal
    if (found && !found.busy && !found.summary.report) set({ spoken: `An unfinished job on ${found.summary.model.name} can be resumed.` })
  })

  /** Opens the model that a job ran on, if it is not open. False when the person has to bring it. */
  async function reopen(origin: ModelOrigin): Promise<boolean> {
    if (isOf(get().model, origin)) return true
    if (origin.kind === 'demo') return open({ kind: 'demo' })
    if (origin.kind === 'hub') return open({ kind: 'hub', repo: origin.repo, revision: origin.revision })
    // Said before the browser asks: its question may go unnoticed, or never come.
    const known = get().journal
    if (known) set({ journal: { ...known, lacks: true }, spoken: `Choose or drop the folder ${origin.name} again to go on.` })
    const picked = await pickAgain(origin.name)
    return picked !== null && open({ kind: 'files', ...picked })
  }

  /** Goes on with the job in the journal. */
  async function goOn() {
    const { journal } = get()
    if (!journal || isBusy(get())) return
    const { job, origin } = journal.summary
    if (!(await reopen(origin))) return
    const { model } = get()
    if (model.state === 'ready' && !isBusy(get()) && (await bringTexts()))
      await launch(job, model.summary, (hear) => engine.goOn(job, hear))
  }

  /** Takes the texts of the job in the journal among those that can be chosen. */
  async function bringTexts(): Promise<boolean> {
    try {
      const { job } = get().journal!.summary
      const named = [job.calibration, job.evaluation, ...(job.lambada ? [job.lambada] : [])].map(({ text }) => text)
      const brought = [...(await engine.journalTexts()), ...plan.namedDatasets(named)]
      const known = new Set(get().texts.map(({ id }) => id))
      set({ texts: [...get().texts, ...brought.filter(({ id }) => !known.has(id))] })
      return true
    } catch (thrown) {
      fail(thrown)
      return false
    }
  }

  /** Shows what the job in the journal has done, as it was shown before the page was closed. */
  async function openResults() {
    const { journal } = get()
    if (!journal || isBusy(get()) || !(await bringTexts())) return
    const { job, model, events, report } = journal.summary
    const finished = events.reduce<JobView>(reduce, begin(job))
    const view = report ? end(finished, report) : abort(finished, toErrorData(new WorkbenchError('cancelled', 'The job was interrupted.')))
    set({ view, ran: model, spoken: view.announcement, saving: {}, step: 'results' })
  }

  /**
   * Names what the journal holds, as far as it cost time, and asks whether it may go. Null when it may not; otherwise the
   * start of the job that was looked at, null where there is none: the engine deletes no other.
   */
  async function mayDelete(title: string, action: string): Promise<{ named: string | null } | null> {
    const { summary, busy } = await engine.journal().catch(() => ({ summary: null, busy: false }))
    const named = summary?.started ?? null
    // The engine refuses what another tab is at work on.
    const nothing = !summary || busy || (summary.layers.done === 0 && summary.results.length === 0)
    return nothing || (await confirm({ title, action, lines: plan.losses(summary, savedRuns(summary.job)) })) ? { named } : null
  }

  /** Runs of this job whose checkpoints were saved since the page was opened. */
  function savedRuns(job: Job): Set<string> {
    const { view, saving } = get()
    if (JSON.stringify(view?.job) !== JSON.stringify(job)) return new Set()
    return new Set(Object.keys(saving).filter((run) => saving[run].state === 'saved'))
  }

  async function discard() {
    const agreed = await mayDelete('Discard this job?', 'Discard it')
    if (!agreed) return
    try {
      if (agreed.named) await engine.discard(agreed.named)
      set({ journal: null, spoken: 'The job was discarded.' })
    } catch (thrown) {
      fail(thrown)
    }
  }

  // ---------------------------------------------------------------- model

  let opening = 0
  /** The page before something else was being read. */
  let before: Pick<State, 'model' | 'job' | 'check' | 'chosen' | 'step'> = get()

  /** `next`: the step to show when it is open. */
  async function open(source: ModelSource, next: Step = 'model'): Promise<boolean> {
    if (isBusy(get())) return false
    const mine = ++opening
    const demo = source.kind === 'demo'
    const hub = source.kind === 'hub' ? { repo: source.repo, revision: source.revision ?? 'main' } : null
    const name = source.kind === 'demo' ? 'the demo model' : source.kind === 'hub' ? source.repo : (source.name ?? 'the files')
    const { model: former, job: planned, check: checked, chosen, step } = get()
    if (former.state !== 'reading') before = { model: former, job: planned, check: checked, chosen, step }
    set({ model: { state: 'reading', name, hub, next, before: get().traffic?.fetched ?? 0 }, job: null, step: 'model', fault: null })
    try {
      const [known, summary] = await Promise.all([catalog, engine.open(source)])
      if (mine !== opening) return false
      const { texts, view } = get()
      const judged = view?.job.evaluation
      const first = plan.firstJob(known, texts, summary, demo)
      const again = summary.quantized && judged && texts.some(({ id }) => id === judged.text)
      const job = again ? plan.measureLike(first, judged, summary) : first
      set({ model: { state: 'ready', summary, demo }, look: null, chosen: job.runs[0]?.id ?? null })
      edit(job)
      if (next !== 'model' && isOpen(get(), next)) set({ step: next })
      return true
    } catch (thrown) {
      if (mine !== opening) return false
      const error = toErrorData(thrown)
      const cancelled = error.code === 'cancelled'
      if (cancelled || before.model.state === 'ready') {
        // The engine still has the model that was open before, and its plan is as good as ever.
        set(before)
        if (!cancelled) set({ fault: { ...error, title: `Cannot use ${name}`, hub }, spoken: error.message })
        if (get().check.state === 'pending') check()
      } else set({ model: { state: 'refused', name, hub, error } })
      return false
    }
  }

  /** Back to a page without a model. */
  function close() {
    if (isBusy(get())) return
    opening++
    set({ model: { state: 'none' }, job: null, step: 'model' })
  }

  // ---------------------------------------------------------------- hub

  let looking = 0

  engine.watchNetwork({
    traffic: (traffic) => set({ traffic }),
    // A job tells of its own.
    notice: (message, hint) => {
      const { networkNotices: known } = get()
      if (!isBusy(get()) && !known.some((notice) => notice.message === message))
        set({ networkNotices: [...known, { severity: 'note', code: 'note', message, hint }] })
    },
  })
  engine.hubAccount().then(
    (account) => set({ account }),
    (thrown) => {
      // Without a network it is not known who is signed in, and what needs it says so; signing in that failed is said at once.
      if (toErrorData(thrown).code === 'hub-denied') fail(thrown)
    },
  )

  async function lookAt(repo: string, revision?: string) {
    const mine = ++looking
    const place = { repo, revision: revision ?? 'main' }
    set({ look: { state: 'asking', ...place } })
    let look: Look
    try {
      const model = await engine.hubModel(repo, revision)
      look = { state: 'known', model, repo: model.source.repo, revision: model.source.ref }
    } catch (thrown) {
      look = { state: 'failed', ...place, error: toErrorData(thrown) }
    }
    if (mine === looking) set({ look })
  }

  /** Whoever signs in or out may see other things. */
  function lookAgain() {
    const { look, model, fault } = get()
    if (look) lookAt(look.repo, look.revision === 'main' && look.state !== 'known' ? undefined : look.revision)
    const refused = model.state === 'refused' ? model.hub : fault?.hub
    if (refused) open({ kind: 'hub', ...refused })
  }

  /** @throws WorkbenchError when the Hub does not know the token */
  async function signIn(token: string, remember: boolean) {
    const account = await engine.setHubToken(token, remember)
    set({ account, signingIn: false, spoken: account ? `Signed in as ${account.name}.` : get().spoken })
    lookAgain()
  }

  async function signOut() {
    await engine.setHubToken(null)
    set({ account: null, spoken: 'Signed out.' })
    lookAgain()
  }

  /** Sorts what was dropped or picked: texts become texts, everything else is a model. */
  async function take(picking: Promise<Picked | null>, purpose: plan.TextPurpose | null = null) {
    try {
      const picked = await picking
      // An empty folder is opened like any other, and refused by name.
      if (!picked?.files.length && !picked?.name) return
      // What was picked for a text is read as one, whatever it is called; what it cannot be is said at its field.
      if (picked.files.length && (purpose || (get().job && picked.files.every(({ path }) => isText(path))))) {
        for (const { path, file } of picked.files) {
          const before = get().job?.calibration ?? null
          const text = await addText(new File([file], path), purpose ?? 'calibration')
          if (!purpose) set({ dropped: { text, before }, spoken: `${text.label} is the calibration text now.` })
        }
      } else {
        const { handle, ...source } = picked
        const opened = await open({ kind: 'files', ...source })
        if (opened && handle) await rememberFolder(handle)
        if (opened && get().journal?.lacks) await goOn()
      }
    } catch (thrown) {
      fail(thrown)
    }
  }

  async function addText(file: File, purpose: plan.TextPurpose, origin: 'file' | 'paste' = 'file') {
    const text = await engine.addText(file, origin)
    offer(text, purpose)
    return text
  }

  /** The text that was dropped last is for evaluation, and the one that it took the place of is back. */
  function evaluateOnDropped() {
    const { dropped, job } = get()
    if (!dropped?.before || !job) return
    edit(plan.chooseText({ ...job, calibration: dropped.before }, 'evaluation', dropped.text))
    set({ dropped: { ...dropped, before: null }, spoken: `${dropped.text.label} is the evaluation text now.` })
  }

  /** Adds a text to the choices, and chooses it. */
  function offer(text: TextSource, purpose: plan.TextPurpose) {
    const { texts, job } = get()
    if (!texts.some(({ id }) => id === text.id)) set({ texts: [...texts, text] })
    if (job) edit(plan.chooseText(job, purpose, text))
  }

  // ---------------------------------------------------------------- plan

  let timer: ReturnType<typeof setTimeout> | undefined
  let checking = 0

  function edit(job: Job) {
    set({ job, check: { state: 'pending' } })
    clearTimeout(timer)
    timer = setTimeout(check, checkAfter)
  }

  async function check() {
    const { job } = get()
    if (!job) return
    const mine = ++checking
    let answer: plan.Check
    try {
      answer = { state: 'done', result: await engine.check(job) }
    } catch (thrown) {
      const { code, message, hint } = toErrorData(thrown)
      answer = { state: 'failed', problem: { severity: 'error', code, message, hint } }
    }
    // An answer to an older question is worth nothing.
    if (mine === checking && get().job === job) set({ check: answer })
  }

  function editWith(change: (catalog: Catalog, job: Job) => Job) {
    const { catalog, job } = get()
    if (catalog && job) edit(change(catalog, job))
  }

  // ---------------------------------------------------------------- run

  /** A measurement leaves the last job alone; any other job takes its place. */
  async function start() {
    const { job } = get()
    const agreed = job?.runs.length ? await mayDelete('Replace the last job?', 'Start and delete it') : { named: null }
    if (agreed) await beginJob(agreed.named)
  }

  /** `replacing`: start of the job in the journal that may go. */
  async function beginJob(replacing: string | null) {
    const { job, model } = get()
    if (!job || model.state !== 'ready' || isBusy(get())) return
    await launch(job, model.summary, (hear) => engine.start(job, hear, replacing))
  }

  async function launch(job: Job, model: ModelSummary, run: (hear: (event: RunEvent) => void) => Promise<JobReport>) {
    clearTimeout(timer)
    const { view: before, ran, saving, step } = get()
    // How large the model is decides how much room the charts take.
    const first = { ...begin(job), blocks: model.blocks }
    set({ fault: null, dropped: null, view: first, spoken: first.announcement, ran: model, step: 'run', asked: null, saving: {} })

    let queue: RunEvent[] = []
    let due: ReturnType<typeof setTimeout> | undefined
    const flush = () => {
      clearTimeout(due)
      due = undefined
      const events = queue
      queue = []
      const view = get().view
      if (!view || !events.length) return
      const said: string[] = []
      const next = events.reduce((before, event) => {
        const after = reduce(before, event)
        if (after.announcement !== before.announcement) said.push(after.announcement)
        return after
      }, view)
      // A disk that is still full brings a job back to where it was.
      const moved = next.phase !== view.phase || events.some(({ type }) => type === 'paused' || type === 'resumed')
      const settled = moved && get().asked !== 'cancel'
      set({ view: next, ...(settled && { asked: null }), ...(said.length && { spoken: said.join(' ') }) })
    }
    const conclude = (change: (view: JobView) => JobView) => {
      flush()
      const before = get().view!
      const view = change(before)
      const spoken = view.announcement === before.announcement ? get().spoken : `${get().spoken} ${view.announcement}`
      set({ view, spoken, asked: null })
    }
    try {
      const report = await run((event) => {
        queue.push(event)
        due ??= setTimeout(flush, redrawEvery)
      })
      conclude((view) => end(view, report))
    } catch (thrown) {
      const error = toErrorData(thrown)
      // Nothing has begun, so the page is as it was.
      if (notBegun.has(error.code)) set({ view: before, ran, saving, step, spoken: error.message, fault: error, asked: null })
      else conclude((view) => abort(view, error))
    }
    await readJournal()
    // The demo starts before its plan is checked.
    if (get().check.state === 'pending') check()
  }

  /** One click from nothing to moving charts. */
  async function tryDemo() {
    const agreed = await mayDelete('Replace the last job?', 'Start the demo and delete it')
    if (agreed && (await open({ kind: 'demo' }))) await beginJob(agreed.named)
  }

  async function ask(what: 'pause' | 'resume' | 'cancel') {
    set({ asked: what })
    try {
      await engine[what]()
    } catch (thrown) {
      set({ asked: null })
      fail(thrown)
    }
  }

  // ---------------------------------------------------------------- results

  function sources(run: string): Source[] {
    const files = get().view?.runs.find(({ id }) => id === run)?.result?.export?.files ?? []
    return files.map(({ path, bytes }) => ({ path, bytes, open: () => engine.exportFile(run, path) }))
  }

  async function save(run: string, how: 'folder' | 'zip') {
    const { view, ran } = get()
    const files = sources(run)
    const name = exportNames(ran!, view!.runs).get(run)!
    const total = files.reduce((sum, file) => sum + file.bytes, 0)
    const note = (saving: Saving) => set({ saving: { ...get().saving, [run]: saving } })
    const forget = () => set({ saving: Object.fromEntries(Object.entries(get().saving).filter(([id]) => id !== run)) })
    let shown = 0
    const progress = (bytes: number) => {
      if (performance.now() - shown < redrawEvery) return
      shown = performance.now()
      note({ state: 'saving', bytes, total })
    }
    try {
      note({ state: 'saving', bytes: 0, total })
      if (how === 'zip') {
        await saveAsZip(name, files, progress)
        return note({ state: 'saved', as: `${name}.zip` })
      }
      const saved = await saveToFolder(name, files, progress, (free) =>
        confirm({
          title: `There is a “${name}” already`,
          lines: ['Nothing in it is changed. The checkpoint can be saved under another name beside it.'],
          action: `Save as “${free}”`,
        }),
      )
      if (saved === null) forget()
      else note({ state: 'saved', as: `${saved}/` })
    } catch (thrown) {
      note({ state: 'failed', error: toErrorData(thrown) })
    }
  }

  async function readCache(change: Promise<void> = Promise.resolve()) {
    try {
      await change
      set({ cache: await engine.cacheInfo() })
    } catch (thrown) {
      fail(thrown)
    }
  }

  return {
    store,
    arrived: engine.arrived,
    openGpu,
    open,
    close,
    take,
    tryDemo,
    /** A newer search ends the one before it with `cancelled`. */
    searchHub: (query: string) => engine.hubSearch(query),
    lookAt,
    stopLooking() {
      looking++
      set({ look: null })
    },
    /** Ends what is being read from the Hub, to open a model or to check a plan. */
    stopReading: () => engine.stopHub().catch(fail),
    /** By the Hub's own page; null where this page is not registered there. */
    leaveToSignIn: engine.hubSignIn,
    showSignIn: (signingIn: boolean) => set({ signingIn }),
    signIn,
    signOut: () => signOut().catch(fail),
    readCache: () => readCache(),
    setCacheBudget: (bytes: number) => readCache(engine.setCacheBudget(bytes)),
    clearCache: () => readCache(engine.clearCache()),
    go: (step: Step) => set({ step: isOpen(get(), step) ? step : 'model' }),
    prefer(change: Partial<Preferences>) {
      const preferences = { ...get().preferences, ...change }
      set({ preferences })
      writePreferences(preferences)
    },
    dismissFault: () => set({ fault: null }),
    answer,
    evaluateOnDropped,
    dismissDropped: () => set({ dropped: null }),

    choose: (run: string) => set({ chosen: run }),
    addRun(method: string) {
      editWith((catalog, job) => plan.addRun(catalog, job, method))
      set({ chosen: get().job?.runs.at(-1)?.id ?? null })
    },
    /** Behind those that are there. */
    addRuns(runs: plan.NewRun[]) {
      const before = get().job?.runs.length ?? 0
      editWith((catalog, job) => plan.addRuns(catalog, job, runs))
      const added = get().job?.runs.slice(before) ?? []
      set({ chosen: added[0]?.id ?? get().chosen, spoken: `Added ${added.map(({ label }) => label).join('; ')}.` })
    },
    /** What runs that are not in the plan would cost. Null when that cannot be told. */
    async quote(runs: RunSpec[]): Promise<JobCheck | null> {
      const { job } = get()
      return job && engine.check({ ...job, runs }).catch(() => null)
    },
    dryRun: (spec: DryRunSpec) => engine.dryRun(spec),
    duplicateRun(id: string) {
      const at = get().job!.runs.findIndex((run) => run.id === id)
      editWith((_, job) => plan.duplicateRun(job, id))
      set({ chosen: get().job!.runs[at + 1].id })
    },
    removeRun(id: string) {
      const at = get().job!.runs.findIndex((run) => run.id === id)
      editWith((_, job) => plan.removeRun(job, id))
      const { job, chosen } = get()
      if (chosen === id) set({ chosen: (job!.runs[at] ?? job!.runs.at(-1))?.id ?? null })
    },
    renameRun: (id: string, label: string) => editWith((catalog, job) => plan.editRun(catalog, job, id, { label })),
    setMethod: (id: string, method: string) => editWith((catalog, job) => plan.editRun(catalog, job, id, { method })),
    setOption: (id: string, key: string, value: OptionValue) =>
      editWith((catalog, job) => {
        const run = job.runs.find((each) => each.id === id)!
        return plan.editRun(catalog, job, id, { options: { ...run.options, [key]: value } })
      }),
    chooseText(purpose: plan.TextPurpose, id: string) {
      const text = get().texts.find((each) => each.id === id)
      if (text) offer(text, purpose)
    },
    setText: (purpose: plan.TextPurpose, part: Partial<TextChoice>) => editWith((_, job) => plan.setText(job, purpose, part)),
    addDataset: (id: string, purpose: plan.TextPurpose) => offer({ id, label: id, bytes: null, origin: 'dataset' }, purpose),
    paste(text: string, purpose: plan.TextPurpose) {
      const file = plan.pastedFile(text, 1 + get().texts.filter(({ origin }) => origin === 'paste').length)
      return addText(new File([file.text], file.name), purpose, 'paste').catch(fail)
    },
    measureLastWords: (on: boolean) => editWith((_, job) => plan.measureLastWords(job, get().texts, on)),
    setJob: (change: Partial<Job>) => editWith((_, job) => ({ ...job, ...change })),

    start,
    goOn,
    openResults,
    discard,
    pause: () => ask('pause'),
    resume: () => ask('resume'),
    cancel: () => ask('cancel'),

    save,
    /** A single file of a run's checkpoint. */
    file: (run: string, path: string) => engine.exportFile(run, path),
    fail,
  }
}

// ---------------------------------------------------------------- questions about the state

export function isBusy({ view }: Pick<State, 'view'>): boolean {
  return view !== null && view.phase !== 'over'
}

export function isOpen(state: State, step: Step): boolean {
  switch (step) {
    case 'model':
      return true
    case 'plan':
      return (
        state.job !== null && state.gpu.state !== 'missing' && state.model.state === 'ready' && !state.model.summary.problems.some(isError)
      )
    case 'run':
      return state.view !== null
    case 'results':
      return state.view !== null && (state.view.phase === 'over' || state.view.runs.some((run) => run.result))
  }
}

/** Whether the model that is open may be the one that a job ran on; the engine compares what it holds. */
function isOf(model: State['model'], origin: ModelOrigin): boolean {
  if (model.state !== 'ready') return false
  const { source, name } = model.summary
  if (origin.kind === 'demo') return model.demo
  if (origin.kind === 'hub') return source?.repo === origin.repo && source.revision === origin.revision
  return !source && !model.demo && name === origin.name
}

export function isError({ severity }: { severity: string }): boolean {
  return severity === 'error'
}

// ---------------------------------------------------------------- preferences

const defaults: Preferences = { theme: 'system', errorUnit: 'scientific', keys: true }
const storageKey = 'quantease-workbench'

/** Private windows may refuse storage; the page then simply forgets. */
function readPreferences(): Preferences {
  try {
    return { ...defaults, ...JSON.parse(localStorage.getItem(storageKey) ?? '{}') }
  } catch {
    return defaults
  }
}

function writePreferences(preferences: Preferences) {
  try {
    localStorage.setItem(storageKey, JSON.stringify(preferences))
  } catch {
    // See above.
  }
}
