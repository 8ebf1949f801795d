/**
 * Signing in at the Hub by OAuth with PKCE, when the page is registered there: the browser goes to the Hub and returns with a code that
 * only this tab can exchange for a token. `@huggingface/hub` implements the protocol and is loaded when needed.
 */
import { WorkbenchError } from '../../errors.ts'

export interface SignIn {
  hubUrl: string
  /** The client id that the Hub gave the page when it was registered. */
  clientId: string
  /** Storage for this tab while it is at the Hub. */
  keep: { get(key: string): string | null; set(key: string, value: string): unknown; remove(key: string): unknown }
}

/** Read access to what the account can read, and nothing else. */
const scopes = 'openid profile read-repos gated-repos'
const key = 'hub-sign-in'

/** The address to navigate to; `href`: the page's current address, to return to. */
export async function signInUrl({ hubUrl, clientId, keep }: SignIn, href: string): Promise<string> {
  const { oauthLoginUrl } = await import('@huggingface/hub')
  const away: { codeVerifier?: string; nonce?: string } = {}
  const { search, hash } = new URL(href)
  try {
    // The registered address has no query; the query is passed along as state.
    const url = await oauthLoginUrl({ hubUrl, clientId, scopes, redirectUrl: pageOf(href), state: search + hash, localStorage: away })
    keep.set(key, JSON.stringify(away))
    return url
  } catch (cause) {
    throw failed('the Hub cannot be reached', cause)
  }
}

/** The token, and the page's previous address; null when the page is not returning from signing in. */
export async function finishSignIn({ hubUrl, keep }: SignIn, href: string): Promise<{ token: string; href: string } | null> {
  const { searchParams } = new URL(href)
  const kept = keep.get(key)
  if (kept === null || !searchParams.has('state') || !(searchParams.has('code') || searchParams.has('error'))) return null
  keep.remove(key)
  if (searchParams.has('error')) throw failed(searchParams.get('error') === 'access_denied' ? 'it was declined' : 'the Hub refused it')
  const { oauthHandleRedirect } = await import('@huggingface/hub')
  try {
    const { nonce, codeVerifier } = JSON.parse(kept)
    const { accessToken, state = '' } = await oauthHandleRedirect({ hubUrl, redirectedUrl: href, nonce, codeVerifier })
    return { token: accessToken, href: pageOf(href) + state }
  } catch (cause) {
    throw failed('the Hub did not confirm it', cause)
  }
}

/** The address without the parameters of signing in. */
export function pageOf(href: string): string {
  const { origin, pathname } = new URL(href)
  return origin + pathname
}

function failed(why: string, cause?: unknown): WorkbenchError {
  return new WorkbenchError('hub-denied', `Signing in did not work: ${why}.`, 'Try again, or paste an access token.', { cause })
}
