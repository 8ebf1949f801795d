/** Says of the Hub's answers that are no success what they mean and what helps. */
import { WorkbenchError } from '../../errors.ts'
import { HttpError } from './trouble.ts'

/** Whom was asked, and whether with a token. */
interface Asked {
  host: string
  signedIn: boolean
}

/** An HTTP error as an error about `what` was requested; bugs are returned unchanged. */
export function explain(error: unknown, what: string, asked: Asked): unknown {
  if (error instanceof SyntaxError) return nonsense(asked, error)
  if (!(error instanceof HttpError)) return error
  const { status, reason } = error
  const { host, signedIn } = asked
  const inside = what.replace(/^The /, 'the ')
  const access = signedIn ? 'Check which account the token belongs to, and that it has access.' : 'Sign in, or paste an access token.'
  if (reason === 'GatedRepo') {
    return new WorkbenchError(
      'hub-denied',
      signedIn ? `${what} is gated, and this account has no access yet.` : `${what} is gated: its owner grants access on request.`,
      `Request access on its page at ${host}${signedIn ? ', then try again.' : `. ${access}`}`,
    )
  }
  if (reason === 'RevisionNotFound')
    return new WorkbenchError(
      'hub-missing',
      `${what} does not exist: no such revision.`,
      'Choose a branch, a tag or a commit of this repository.',
    )
  if (reason === 'EntryNotFound') return new WorkbenchError('hub-missing', `${what} does not exist.`, 'Open the repository again.')
  // The Hub tells nobody without access that a private repository exists.
  if (status === 404 || reason === 'RepoNotFound')
    return new WorkbenchError('hub-missing', `${what} is not on ${host}, or it is private.`, `Check the name. ${access}`)
  if (status === 401 || status === 403)
    return new WorkbenchError(
      'hub-denied',
      `The Hub at ${host} denies access to ${inside}${error.said && `: ${error.said}`}.`,
      signedIn ? `The token may have expired. ${access}` : access,
    )
  if (status === 416)
    return new WorkbenchError('hub-changed', `${what} is shorter than the Hub's listing says.`, 'Open the repository again.')
  return new WorkbenchError(
    'hub-answer',
    `The Hub at ${host} answered ${status} about ${inside}${error.said && `: ${error.said}`}.`,
    'Try again later, or check the address of the Hub.',
  )
}

/** An answer that no Hub gives. */
export function nonsense({ host }: Pick<Asked, 'host'>, cause?: unknown): WorkbenchError {
  return new WorkbenchError('hub-answer', `The answer of ${host} is not that of a Hub.`, 'Check that this is the address of a Hub.', {
    cause,
  })
}
