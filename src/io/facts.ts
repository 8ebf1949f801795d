/**
 * Settings that may be given in several places of a model's files: returns the one value, or an error that names two places that
 * disagree.
 */
import { WorkbenchError } from '../errors.ts'

/** A place where a setting may be given. */
export interface Home {
  /** Its path inside the file, e.g. `rope_parameters.rope_theta`. */
  where: string
  /** The value there; null and undefined mean "not given". */
  says: unknown
  /** What a message shows instead of a value that is too long. */
  shown?: string
}

/**
 * The value that all places agree on; undefined when it is given nowhere. Programs differ in which place they read first, so two
 * different values are an error.
 * @throws WorkbenchError `config-invalid` naming the first place that contradicts an earlier one
 */
export function agreed(homes: readonly Home[], file = 'config.json'): unknown {
  const said = homes.filter(({ says }) => says != null)
  const other = said.find(({ says }) => JSON.stringify(says) !== JSON.stringify(said[0].says))
  if (other) throw contradiction(`${sentence(other)}, but ${sentence(said[0])}`, file)
  return said[0]?.says
}

/** @returns the error for two places that disagree; `what` names both */
export function contradiction(what: string, file = 'config.json'): WorkbenchError {
  return new WorkbenchError(
    'config-invalid',
    `${file}: ${what}.`,
    'Programs differ in which of the two they use, so the workbench uses neither: remove the one that does not belong to these weights.',
  )
}

function sentence({ where, says, shown }: Home): string {
  return `${where} is ${shown ?? cut(JSON.stringify(says))}`
}

function cut(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
