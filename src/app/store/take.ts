/** Actions on dropped or picked files. */
import { toErrorData } from '../../errors.ts'
import { areTexts, type Picked, rememberFolder } from '../files.ts'
import type { TextPurpose } from '../texts.ts'
import type { Core } from './core.ts'
import { takeStore } from './grams.ts'
import { open } from './model.ts'
import { addText, addTextsFor } from './planning.ts'
import { planReplay, takeJobFile, takeMissing } from './job-files.ts'
import { goOn, planFormats } from './run.ts'

/** Sorts what was dropped or picked: texts become texts, everything else is a model. */
async function take(core: Core, picking: Promise<Picked | null>, purpose: TextPurpose | null = null) {
  try {
    const picked = await picking
    // An empty folder is opened like any other, and refused by name.
    if (!picked?.files.length && !picked?.name) return
    // What was picked for a text is read as one, whatever it is called; what it cannot be is said at its field.
    if (!purpose && !picked.name && picked.files.length === 1 && (await takeJobFile(core, picked.files[0]))) return
    if (!purpose && (await takeStore(core, picked))) return
    if (purpose && picked.files.length) {
      core.set({ fault: null })
      await addTextsFor(
        core,
        picked.files.map(({ path, file }) => new File([file], path)),
        purpose,
      )
    } else if (core.get().job && !picked.name && picked.files.length && (await areTexts(picked.files, core.get().step === 'plan'))) {
      core.set({ fault: null })
      for (const { path, file } of picked.files) await drop(core, new File([file], path))
    } else {
      const { handle, ...source } = picked
      // The browser may open the folder by itself as soon as it was dropped: this one is enough.
      const { lacks } = core.get()
      if (lacks) core.set({ lacks: { ...lacks } })
      const opened = await open(core, { kind: 'files', ...source })
      if (opened && handle) await rememberFolder(handle)
      if (opened && lacks?.wanted === 'plan') await planReplay(core)
      if (opened && lacks?.wanted === 'look') core.set({ step: 'results', lacks: null })
      if (opened && lacks?.job && lacks.wanted === 'resume') await goOn(core, lacks.job, true)
      if (opened && lacks?.job && lacks.wanted === 'formats') await formatsOfDropped(core, lacks.job)
    }
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** The folder of the finished job is back: on with its results, which may have been put away by opening it. */
async function formatsOfDropped(core: Core, job: string) {
  core.set({ step: core.get().view ? 'results' : 'model' })
  await planFormats(core, job)
}

/** A text that nobody said the purpose of. What cannot be one is told where it was dropped, and leaves the plan alone. */
async function drop(core: Core, file: File) {
  const before = core.get().job?.calibration ?? null
  try {
    if (await takeMissing(core, file)) return
    const text = await addText(core, file, 'calibration')
    core.set({ dropped: { text, before }, spoken: `${text.label} is the calibration text now.` })
  } catch (thrown) {
    const error = toErrorData(thrown)
    core.set({ fault: { ...error, title: `Cannot use ${file.name}` }, spoken: error.message })
  }
}

/** The actions of this file. */
export const actions = { take }
