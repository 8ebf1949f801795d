/** Actions on a Gram store: open it for the model that is open, and solve linears by it, one after the other. */
import { toErrorData, WorkbenchError } from '../../errors.ts'
import type { Picked } from '../files.ts'
import type { NewRun } from '../plan.ts'
import type { Core } from './core.ts'
import { isBusy, type State, type StoreTrial } from './state.ts'

const index = 'gram.safetensors.index.json'

/** Opens what was dropped if it is a Gram store; false where it is none. */
export async function takeStore(core: Core, { name = 'the files', files }: Picked): Promise<boolean> {
  if (!files.some(({ path }) => path === index)) return false
  if (isBusy(core.get())) return true
  try {
    if (core.get().model.state !== 'ready')
      throw new WorkbenchError(
        'plan-invalid',
        'A Gram store belongs to a model, and none is open.',
        'Open its model first, then drop the store again.',
      )
    const summary = (await core.engine.openStore({ files, name }))!
    core.set({ grams: { summary, trials: [] }, step: 'model', fault: null, spoken: `The Gram store ${name} is open.` })
  } catch (thrown) {
    const error = toErrorData(thrown)
    // The engine has closed the one before.
    core.set({ grams: null, fault: { ...error, title: `Cannot use ${name}` }, spoken: error.message })
  }
  return true
}

function closeStore(core: Core) {
  core.set({ grams: null })
  core.engine.openStore(null).catch(core.fail)
}

/** Changes the trial of this number, while its store is open. Returns whether it is. */
function change(core: Core, store: State['grams'], number: number, next: (trial: StoreTrial) => Partial<StoreTrial>): boolean {
  const { grams } = core.get()
  if (!grams || grams.summary !== store?.summary) return false
  core.set({ grams: { ...grams, trials: grams.trials.map((one) => (one.number === number ? { ...one, ...next(one) } : one)) } })
  return true
}

/** Solves these linears with a setting. What is solved stays where a later one fails, or it is stopped. */
async function trySetting(core: Core, setting: NewRun, linears: string[]) {
  const store = core.get().grams
  if (!store || store.trials.some(({ state }) => state === 'solving')) return
  const number = store.trials.length
  core.set({ grams: { ...store, trials: [...store.trials, { number, setting, results: [], wanted: linears.length, state: 'solving' }] } })
  try {
    for (const name of linears) {
      const result = await core.engine.tryStored(name, setting)
      if (!change(core, store, number, ({ results }) => ({ results: [...results, result] }))) return
      if (core.get().grams!.trials[number].state === 'stopped') return
    }
    change(core, store, number, () => ({ state: 'done' }))
    core.set({ spoken: `Solved ${linears.length} linears.` })
  } catch (thrown) {
    change(core, store, number, () => ({ state: toErrorData(thrown) }))
  }
}

function stopTrying(core: Core) {
  const { grams } = core.get()
  for (const { number, state } of grams?.trials ?? []) if (state === 'solving') change(core, grams, number, () => ({ state: 'stopped' }))
}

/** What a setting makes of one linear, for the layer lab. */
function tryStored(core: Core, name: string, setting: NewRun) {
  return core.engine.tryStored(name, setting)
}

/** The actions of this file. */
export const actions = { closeStore, trySetting, stopTrying, tryStored }
