/** The Hub account that is signed in, and the form for a token. */
import { useId, useState } from 'react'
import { hubUrl } from '../../engine/hosts/client.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import { Button } from './controls.tsx'
import { Icon } from './icons.tsx'

const { host } = new URL(hubUrl)

/** `writing`: the token is to be one that may write. */
export function Account({ writing = false }: { writing?: boolean }) {
  const id = useId()
  const workbench = useWorkbench()
  const account = useView((state) => state.account)
  const open = useView((state) => state.signingIn)
  if (account) {
    return (
      <div className="row account">
        <span>
          Signed in as <b>{account.name}</b>
          <span className="hint">{account.remembered ? ', remembered in this browser' : ', until this page is closed'}</span>
        </span>
        <button type="button" className="link" onClick={workbench.signOut}>
          Sign out
        </button>
      </div>
    )
  }
  return (
    <>
      <button type="button" className="link" aria-expanded={open} aria-controls={id} onClick={() => workbench.showSignIn(!open)}>
        Sign in
      </button>
      {open && <TokenForm id={id} writing={writing} onClose={() => workbench.showSignIn(false)} />}
    </>
  )
}

function TokenForm({ id: form, writing, onClose }: { id: string; writing: boolean; onClose: () => void }) {
  const workbench = useWorkbench()
  const id = useId()
  const [token, setToken] = useState('')
  const [remember, setRemember] = useState(false)
  const [checking, setChecking] = useState(false)
  const [error, setError] = useState<ErrorData | null>(null)
  async function attempt(work: () => Promise<void>) {
    setChecking(true)
    setError(null)
    try {
      await work()
    } catch (thrown) {
      setError(toErrorData(thrown))
      setChecking(false)
    }
  }
  return (
    <form
      id={form}
      className="token"
      onSubmit={(event) => {
        event.preventDefault()
        attempt(() => workbench.signIn(token, remember))
      }}
    >
      {workbench.leaveToSignIn && !writing && (
        <div className="row">
          <Button kind="primary" disabled={checking} onClick={() => attempt(workbench.leaveToSignIn!)}>
            {`Sign in on ${host}`}
          </Button>
          <span className="help">and come back here, or paste a token:</span>
        </div>
      )}
      <p className="help" id={`${id}-help`}>
        {writing ? 'A token with write access is needed:' : 'For gated and private models. A token with read access is enough:'}{' '}
        <a href={`${hubUrl}/settings/tokens`} target="_blank" rel="noreferrer">
          make one on {host}
        </a>
        . It is sent to {host} only, and is part of no link, export or report.
      </p>
      <label className="field-label" htmlFor={id}>
        Access token
      </label>
      <div className="row">
        <input
          id={id}
          className="input grow"
          type="password"
          autoComplete="off"
          spellCheck={false}
          placeholder="hf_…"
          // biome-ignore lint/a11y/noAutofocus: it opens because somebody asked for it
          autoFocus
          value={token}
          aria-describedby={error ? `${id}-error ${id}-help` : `${id}-help`}
          aria-invalid={error ? true : undefined}
          onChange={(event) => setToken(event.target.value)}
        />
        <Button type="submit" disabled={!token.trim() || checking}>
          {checking ? 'Checking …' : 'Use this token'}
        </Button>
        <Button kind="quiet" onClick={onClose}>
          Close
        </Button>
      </div>
      <div role="alert">
        {error && (
          <p className="field-problem" id={`${id}-error`}>
            <Icon name="warning" />
            <span>
              {error.message} {error.hint}
            </span>
          </p>
        )}
      </div>
      <label className="check">
        <input type="checkbox" checked={remember} onChange={(event) => setRemember(event.target.checked)} />
        <span>
          Remember in this browser
          <span className="help">, where other pages of this site could read it. Otherwise it is forgotten when the page is closed.</span>
        </span>
      </label>
    </form>
  )
}
