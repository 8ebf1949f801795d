/** What goes wrong in a template, and the measure that keeps one from running or growing without end. */

/** An error that Python, Jinja or the template itself raises. */
export class TemplateError extends Error {
  override readonly name = 'TemplateError'
}

/** An error that the template raises itself, by `raise_exception`. */
export class Raised extends TemplateError {}

/** A feature of Jinja that is not implemented here. */
export class Unsupported extends TemplateError {
  constructor(what: string) {
    super(`it uses ${what}, which is not supported here`)
  }
}

/** Most steps of one rendering: a long conversation with a long template takes some hundred thousand. */
const mostSteps = 5_000_000
/** Most characters of one string. */
const mostCharacters = 32 << 20

let steps = 0

/** Counts steps: nodes evaluated, items visited, or 16 characters copied. @throws TemplateError when one rendering takes too many */
export function pay(amount = 1): void {
  steps += amount
  if (!(steps <= mostSteps)) throw new TemplateError(`it takes more than ${mostSteps} steps; perhaps it never ends`)
}

/** Counts a new string by its length, and returns it. */
export function paid(text: string): string {
  payFor(text.length)
  return text
}

export function payFor(characters: number): void {
  if (!(characters <= mostCharacters)) throw new TemplateError(`it makes a text of more than ${mostCharacters} characters`)
  pay(1 + characters / 16)
}

/** Runs one rendering with a new meter; a stack overflow counts as an error of the template. */
export function metered<T>(work: () => T): T {
  const before = steps
  steps = 0
  try {
    return work()
  } catch (error) {
    const stack = error instanceof Error && /call stack|recursion/i.test(error.message)
    if (stack) throw new TemplateError('it is nested too deeply', { cause: error })
    if (error instanceof RangeError) throw new TemplateError('it makes a value that is too large', { cause: error })
    throw error
  } finally {
    steps = before
  }
}
