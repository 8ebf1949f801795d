/** The page's address: `?model=owner/name&revision=...` for an open model of the Hub, and the step after `#`. */
import { type HubPlace, type State, type Step, steps } from './store/state.ts'

export interface Address {
  /** Null where the address names none. */
  step: Step | null
  hub: HubPlace | null
}

export function readAddress({ search, hash }: Pick<URL, 'search' | 'hash'>): Address {
  const query = new URLSearchParams(search)
  const model = query.get('model')?.trim()
  const step = hash.slice(1) as Step
  return {
    step: steps.includes(step) ? step : null,
    hub: model
      ? { repo: model.replace(/@.*$/s, ''), revision: query.get('revision')?.trim() || /@(.+)$/s.exec(model)?.[1] || 'main' }
      : null,
  }
}

/** Contains only the model, its revision and the step; anything else in the address is dropped. */
export function writeAddress({ step, hub }: { step: Step; hub: HubPlace | null }): string {
  if (!hub) return `#${step}`
  // Slashes and @ are fine in a query, and people read addresses.
  const value = (text: string) => encodeURIComponent(text).replaceAll('%2F', '/')
  return `?model=${value(hub.repo)}${hub.revision === 'main' ? '' : `&revision=${value(hub.revision)}`}#${step}`
}

/** Where the page is, or is heading while it reads a model. */
export function addressOf({ model, step }: Pick<State, 'model' | 'step'>): { step: Step; hub: HubPlace | null } {
  switch (model.state) {
    case 'none':
      return { step, hub: null }
    case 'reading':
      return { step: model.next ?? step, hub: model.hub }
    case 'refused':
      return { step, hub: model.hub }
    case 'ready': {
      const { source } = model.summary
      return { step, hub: source && { repo: source.repo, revision: source.ref } }
    }
  }
}

export function samePlace(a: HubPlace | null, b: HubPlace | null): boolean {
  return a?.repo === b?.repo && a?.revision === b?.revision
}
