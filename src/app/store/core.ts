/** Shared by all actions of the page: the engine, the state, and pending work. */
import { createStore } from 'zustand/vanilla'
import type { Engine } from '../../engine/hosts/client.ts'
import type { Catalog } from '../../engine/job/catalog.ts'
import { toErrorData } from '../../errors.ts'
import { firstState, type Question, type State } from './state.ts'

/** Charts and progress are drawn anew at most this often (milliseconds), however chatty the engine is. */
export const redrawEvery = 250

/** The page before something else was being read. */
export type Former = Pick<State, 'model' | 'job' | 'check' | 'chosen' | 'step'>

export class Core {
  readonly store = createStore<State>(firstState)
  readonly get = this.store.getState
  readonly set = this.store.setState
  readonly catalog: Promise<Catalog>
  /** Numbers of the latest of each kind; an answer to an older one is worth nothing. */
  opening = 0
  looking = 0
  checking = 0
  /** The check that waits until nothing has been changed for a moment. */
  checkDue: ReturnType<typeof setTimeout> | undefined
  former: Former = this.get()
  #answerTo: (yes: boolean) => void = () => {}

  constructor(readonly engine: Engine) {
    this.catalog = engine.catalog().then((catalog) => {
      this.set({ catalog, texts: catalog.texts })
      return catalog
    })
    this.catalog.catch(this.fail)
  }

  readonly fail = (thrown: unknown) => this.set({ fault: toErrorData(thrown) })

  /** Asks before what cannot be undone; a newer question takes the place of one that is open. */
  confirm(question: Question): Promise<boolean> {
    this.answer(false)
    this.set({ question })
    return new Promise((resolve) => {
      this.#answerTo = resolve
    })
  }

  answer(yes: boolean) {
    this.set({ question: null })
    this.#answerTo(yes)
  }
}

type Action = (core: Core, ...rest: never[]) => unknown
type Bound<A extends Record<string, Action>> = {
  [K in keyof A]: A[K] extends (core: Core, ...rest: infer Rest) => infer Result ? (...rest: Rest) => Result : never
}

/** The same actions, each on this page. */
export function bind<A extends Record<string, Action>>(core: Core, actions: A): Bound<A> {
  const bound = ([name, act]: [string, Action]) => [name, (...rest: never[]) => act(core, ...rest)]
  return Object.fromEntries(Object.entries(actions).map(bound)) as Bound<A>
}
