/**
 * Zod without its compiler, which tries `new Function` for speed; the page's content security policy forbids that, and browsers report
 * it. Its messages follow the name of a member and a colon, in words of a reader who does not know zod.
 */
import { z } from 'zod'

z.config({ jitless: true, customError: wordingOf })

/** Kinds of values as JSON has them. */
const kinds: Record<string, string> = {
  number: 'a number',
  int: 'a whole number',
  string: 'a text',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  null: 'null',
}

function wordingOf(issue: z.core.$ZodRawIssue): string | undefined {
  const wanted = issue.code === 'invalid_type' ? kinds[issue.expected] : undefined
  if (issue.code === 'invalid_type' && wanted) {
    return issue.input === undefined ? `missing; it has to be ${wanted}` : `${shown(issue.input)}, where ${wanted} is expected`
  }
  if ((issue.code === 'too_small' || issue.code === 'too_big') && typeof issue.input === 'number') {
    const side = issue.code === 'too_small' ? [issue.minimum, 'at least', 'more than'] : [issue.maximum, 'at most', 'less than']
    const [bound, inclusive, exclusive] = side
    return `${issue.input}, where ${issue.inclusive ? inclusive : exclusive} ${bound} is expected`
  }
  return undefined
}

/** A value as JSON, cut short. */
function shown(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 60 ? `${json.slice(0, 60)}…` : json
}

export { z }
