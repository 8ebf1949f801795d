/** Files that are dropped or picked. */
import { isText, type Picked, rememberFolder } from '../files.ts'
import type { TextPurpose } from '../plan.ts'
import type { Core } from './core.ts'
import { open } from './model.ts'
import { addText } from './planning.ts'
import { goOn } from './run.ts'

/** Sorts what was dropped or picked: texts become texts, everything else is a model. */
async function take(core: Core, picking: Promise<Picked | null>, purpose: TextPurpose | null = null) {
  try {
    const picked = await picking
    // An empty folder is opened like any other, and refused by name.
    if (!picked?.files.length && !picked?.name) return
    // What was picked for a text is read as one, whatever it is called; what it cannot be is said at its field.
    if (picked.files.length && (purpose || (core.get().job && picked.files.every(({ path }) => isText(path))))) {
      for (const { path, file } of picked.files) {
        const before = core.get().job?.calibration ?? null
        const text = await addText(core, new File([file], path), purpose ?? 'calibration')
        if (!purpose) core.set({ dropped: { text, before }, spoken: `${text.label} is the calibration text now.` })
      }
    } else {
      const { handle, ...source } = picked
      const opened = await open(core, { kind: 'files', ...source })
      if (opened && handle) await rememberFolder(handle)
      if (opened && core.get().journal?.lacks) await goOn(core)
    }
  } catch (thrown) {
    core.fail(thrown)
  }
}

/** What a page can be asked to do here. */
export const actions = { take }
