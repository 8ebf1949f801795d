/** Facts that may stand in several places of a model's files: one value comes out, or two places are named. */
import { WorkbenchError } from '../errors.ts'

/** A place where a fact may stand. */
export interface Home {
  /** Its path inside the file, e.g. `rope_parameters.rope_theta`. */
  where: string
  /** What stands there; null and undefined say nothing. */
  says: unknown
  /** What to show of it in a message, where the value itself is too long. */
  shown?: string
}

/**
 * What all places that say something agree upon; undefined when none does. Programs differ in which place they look at first,
 * so two values are an error and never a matter of order.
 * @throws WorkbenchError `config-invalid` naming the first place that contradicts an earlier one
 */
export function agreed(homes: readonly Home[], file = 'config.json'): unknown {
  const said = homes.filter(({ says }) => says != null)
  const other = said.find(({ says }) => JSON.stringify(says) !== JSON.stringify(said[0].says))
  if (other) throw contradiction(`${sentence(other)}, but ${sentence(said[0])}`, file)
  return said[0]?.says
}

/** @returns the error for two places that say different things, in words of the caller's */
export function contradiction(what: string, file = 'config.json'): WorkbenchError {
  return new WorkbenchError(
    'config-invalid',
    `${file}: ${what}.`,
    'Programs differ in which of the two they take, so the workbench takes neither: remove the one that does not belong to these weights.',
  )
}

function sentence({ where, says, shown }: Home): string {
  return `${where} is ${shown ?? cut(JSON.stringify(says))}`
}

function cut(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
