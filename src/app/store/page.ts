/** Actions on the page as a whole: the current step, preferences, messages. */
import type { Core } from './core.ts'
import { isOpen, type Preferences, type Step, writePreferences } from './state.ts'

function go(core: Core, step: Step) {
  core.set({ step: isOpen(core.get(), step) ? step : 'model' })
}

function prefer(core: Core, change: Partial<Preferences>) {
  const preferences = { ...core.get().preferences, ...change }
  core.set({ preferences })
  writePreferences(preferences)
}

function answer(core: Core, yes: boolean) {
  core.answer(yes)
}

function dismissFault(core: Core) {
  core.set({ fault: null })
}

function dismissDropped(core: Core) {
  core.set({ dropped: null })
}

/** The actions of this file. */
export const actions = { go, prefer, answer, dismissFault, dismissDropped }
