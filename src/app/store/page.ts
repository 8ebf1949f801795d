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

/** Takes a run out of the charts, or back into them. */
function hide(core: Core, run: string) {
  core.set({ hidden: toggled(core.get().hidden, run) })
}

/** Puts a run before the others, or back in its place. */
function pin(core: Core, run: string) {
  core.set({ pinned: toggled(core.get().pinned, run) })
}

const toggled = (all: string[], one: string) => (all.includes(one) ? all.filter((other) => other !== one) : [...all, one])

/** Looks at a linear by itself, by its module path; `run`: what that made of it comes first. */
function openLinear(core: Core, name: string, run: string | null = null) {
  core.set({ linear: { name, run } })
}

function closeLinear(core: Core) {
  core.set({ linear: null })
}

/** The actions of this file. */
export const actions = { go, prefer, answer, dismissFault, dismissDropped, hide, pin, openLinear, closeLinear }
