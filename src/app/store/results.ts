/** Actions that save checkpoints. */
import { toErrorData, WorkbenchError } from '../../errors.ts'
import { type Source, saveAsZip, saveToFolder } from '../files.ts'
import { type Recital, recited } from '../recital.ts'
import { exportNames } from '../export-names.ts'
import { type Core, redrawEvery } from './core.ts'
import type { Answer, LabSetting, PushPlace, TextQuestion } from '../../engine/hosts/client.ts'
import { bringModel } from './run.ts'
import { type Saving, type Upload, uploadKey } from './state.ts'

function sources(core: Core, run: string): Source[] {
  const files = core.get().view?.runs.find(({ id }) => id === run)?.result?.export?.files ?? []
  const kept = keptOf(core, run)
  return files.map(({ path, bytes }) => ({ path, bytes, open: () => core.engine.exportFile(kept, path) }))
}

/** The run of a kept job that a run on the page is. */
const keptOf = (core: Core, run: string) => core.get().shown.runs[run]

async function save(core: Core, run: string, how: 'folder' | 'zip') {
  const { view, ran } = core.get()
  const files = sources(core, run)
  const name = exportNames(ran!, view!.runs).get(run)!
  const total = files.reduce((sum, file) => sum + file.bytes, 0)
  const note = (saving: Saving) => core.set({ saving: { ...core.get().saving, [run]: saving } })
  const forget = () => core.set({ saving: Object.fromEntries(Object.entries(core.get().saving).filter(([id]) => id !== run)) })
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
      core.confirm({
        title: `There is a “${name}” already`,
        lines: ['It is not changed. The checkpoint can be saved next to it under another name.'],
        action: `Save as “${free}”`,
      }),
    )
    if (saved === null) forget()
    else note({ state: 'saved', as: `${saved}/` })
  } catch (thrown) {
    note({ state: 'failed', error: toErrorData(thrown) })
  }
}

/** Uploads the checkpoint of a run in this folder of its files. */
async function upload(core: Core, run: string, folder: string, place: PushPlace) {
  const note = (next: Upload) => core.set({ uploads: { ...core.get().uploads, [uploadKey(run, folder)]: next } })
  const paths = sources(core, run).flatMap(({ path }) => (path.startsWith(folder) ? [path] : []))
  let shown = Number.NEGATIVE_INFINITY
  note({ state: 'sending', progress: null })
  try {
    const { url } = await core.engine.push({ kept: keptOf(core, run), folder, paths }, place, (progress) => {
      if (performance.now() - shown < redrawEvery) return
      shown = performance.now()
      note({ state: 'sending', progress })
    })
    note({ state: 'sent', repo: place.repo, url, public: place.public })
    core.set({ spoken: `Uploaded to ${place.repo}.` })
  } catch (thrown) {
    note({ state: 'failed', error: toErrorData(thrown) })
  }
}

function stopUpload(core: Core) {
  core.engine.stopPush().catch(core.fail)
}

/** A single file of a run's checkpoint. */
function file(core: Core, run: string, path: string) {
  return core.engine.exportFile(keptOf(core, run), path)
}

/** What another program says after a fixed prompt, beside our own forward pass with what the run solved. */
async function compare(core: Core, run: string, program: { recite(prompt: string, count: number): Promise<Recital> }) {
  await bringModel(core)
  if (core.get().model.state !== 'ready') {
    const hint = 'Open it in the step Model, then open the chat again.'
    throw new WorkbenchError('plan-invalid', 'The model that the run was made from is not open.', hint)
  }
  const recital = await program.recite(recited.prompt, recited.tokens)
  return [recital, await core.engine.foretell(keptOf(core, run), recited.prompt, recital.said)] as const
}

/** What can still be seen of a linear, and of what the runs on the page made of it. */
async function look(core: Core, name: string) {
  await bringModel(core)
  return core.engine.linear(name, core.get().shown.runs)
}

/** Continues a prompt with some runs on the page, and in full precision. */
async function continueText(core: Core, question: TextQuestion, tell: (answer: Answer) => void) {
  await bringModel(core)
  return core.engine.continueText(question, core.get().shown.runs, tell)
}

function stopText(core: Core) {
  core.engine.stopText().catch(core.fail)
}

/** What a setting makes of a linear, on the inputs that a run on the page saw. */
function tryLinear(core: Core, name: string, run: string, setting: LabSetting) {
  return core.engine.tryLinear(name, core.get().shown.runs[run], setting)
}

/** The actions of this file. */
export const actions = { save, upload, stopUpload, file, compare, look, continueText, stopText, tryLinear }
