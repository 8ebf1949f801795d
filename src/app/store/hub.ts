/** Actions on the Hub: models, account, and cache. */
import { toErrorData } from '../../errors.ts'
import type { Core } from './core.ts'
import { open } from './model.ts'
import { isBusy, type Look } from './state.ts'

/** Listens to the network from now on, and finds out who is signed in. */
export function watchHub(core: Core) {
  core.engine.watchNetwork({
    traffic: (traffic) => core.set({ traffic }),
    // A job tells of its own.
    notice: (message, hint) => {
      const { networkNotices: known } = core.get()
      if (!isBusy(core.get()) && !known.some((notice) => notice.message === message))
        core.set({ networkNotices: [...known, { severity: 'note', code: 'note', message, hint }] })
    },
  })
  core.engine.hubAccount().then(
    (account) => core.set({ account }),
    (thrown) => {
      // Without a network it is not known who is signed in, and what needs it says so; signing in that failed is said at once.
      if (toErrorData(thrown).code === 'hub-denied') core.fail(thrown)
    },
  )
}

/** A newer search ends the one before it with `cancelled`. */
function searchHub(core: Core, query: string) {
  return core.engine.hubSearch(query)
}

async function lookAt(core: Core, repo: string, revision?: string) {
  const mine = ++core.looking
  const place = { repo, revision: revision ?? 'main' }
  core.set({ look: { state: 'asking', ...place } })
  let look: Look
  try {
    const model = await core.engine.hubModel(repo, revision)
    look = { state: 'known', model, repo: model.source.repo, revision: model.source.ref }
  } catch (thrown) {
    look = { state: 'failed', ...place, error: toErrorData(thrown) }
  }
  if (mine === core.looking) core.set({ look })
}

function stopLooking(core: Core) {
  core.looking++
  core.set({ look: null })
}

function showSignIn(core: Core, signingIn: boolean) {
  core.set({ signingIn })
}

/** Whoever signs in or out may see other things. */
function lookAgain(core: Core) {
  const { look, model, fault } = core.get()
  if (look) lookAt(core, look.repo, look.revision === 'main' && look.state !== 'known' ? undefined : look.revision)
  const refused = model.state === 'refused' ? model.hub : fault?.hub
  if (refused) open(core, { kind: 'hub', ...refused })
}

/** @throws WorkbenchError when the Hub does not know the token */
async function signIn(core: Core, token: string, remember: boolean) {
  const account = await core.engine.setHubToken(token, remember)
  core.set({ account, signingIn: false, spoken: account ? `Signed in as ${account.name}.` : core.get().spoken })
  lookAgain(core)
}

async function signOut(core: Core) {
  try {
    await core.engine.setHubToken(null)
    core.set({ account: null, spoken: 'Signed out.' })
    lookAgain(core)
  } catch (thrown) {
    core.fail(thrown)
  }
}

async function cacheAfter(core: Core, change: Promise<void> = Promise.resolve()) {
  try {
    await change
    core.set({ cache: await core.engine.cacheInfo() })
  } catch (thrown) {
    core.fail(thrown)
  }
}

function readCache(core: Core) {
  return cacheAfter(core)
}

function setCacheBudget(core: Core, bytes: number) {
  return cacheAfter(core, core.engine.setCacheBudget(bytes))
}

function clearCache(core: Core) {
  return cacheAfter(core, core.engine.clearCache())
}

/** The actions of this file. */
export const actions = { searchHub, lookAt, stopLooking, showSignIn, signIn, signOut, readCache, setCacheBudget, clearCache }
