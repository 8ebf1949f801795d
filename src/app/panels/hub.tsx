/** Models on the Hub: find one, see what it is and whether it can be opened, sign in where that is needed. */
import { useEffect, useId, useRef, useState, useSyncExternalStore } from 'react'
import { hubUrl } from '../../engine/hosts/client.ts'
import type { HubHit, HubModel, Traffic } from '../../engine/job.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { type HubPlace, isBusy, isError, type Look } from '../store/state.ts'
import { Button, Icon } from './controls.tsx'
import { Fact } from './gpu.tsx'
import { ErrorNote, ProblemList } from './problems.tsx'
import './hub.css'

const host = new URL(hubUrl).host
const hubName = host === 'huggingface.co' ? 'the Hugging Face Hub' : `the Hub at ${host}`

export function HubPanel() {
  const look = useView((state) => state.look)
  const notices = useView((state) => state.networkNotices)
  return (
    <section className="panel hub" aria-labelledby="hub-title">
      <div className="panel-head">
        <h2 id="hub-title">Open a model from {hubName}</h2>
        <Account />
      </div>
      <Offline />
      <Search />
      {look && <Looked look={look} />}
      <ProblemList problems={notices} label="Notices of the network" />
      <Cache />
    </section>
  )
}

/** Whether the browser has a network at all. */
function useOnline(): boolean {
  return useSyncExternalStore(watchOnline, () => navigator.onLine)
}

function watchOnline(changed: () => void) {
  window.addEventListener('online', changed)
  window.addEventListener('offline', changed)
  return () => {
    window.removeEventListener('online', changed)
    window.removeEventListener('offline', changed)
  }
}

function Offline() {
  const online = useOnline()
  return (
    <div role="status">
      {!online && (
        <p className="notice warn row tight">
          <Icon name="warning" />
          <span>
            There is no network connection, so the Hub cannot be reached. Model folders on this machine open as before, and what is open can
            be planned.
          </span>
        </p>
      )}
    </div>
  )
}

// ---------------------------------------------------------------- search

type Found = { state: 'none' } | { state: 'asking' } | { state: 'found'; hits: HubHit[] } | { state: 'failed'; error: ErrorData }

const searchAfter = 250

/** What the Hub finds for the text, once typing rests. */
function useHits(text: string): Found {
  const workbench = useWorkbench()
  const [found, setFound] = useState<Found>({ state: 'none' })
  useEffect(() => {
    const query = text.trim()
    if (query.length < 2 || isAddress(query)) return setFound({ state: 'none' })
    let current = true
    const timer = setTimeout(() => {
      // Old hits stay in sight until new ones come, so that the list does not flicker.
      setFound((before) => (before.state === 'found' ? before : { state: 'asking' }))
      workbench.searchHub(query).then(
        (hits) => current && setFound({ state: 'found', hits }),
        (thrown) => current && setFound({ state: 'failed', error: toErrorData(thrown) }),
      )
    }, searchAfter)
    return () => {
      current = false
      clearTimeout(timer)
    }
  }, [text, workbench])
  return found
}

const isAddress = (text: string) => /^https?:/.test(text)

/** An editable combobox with a list of hits, by the pattern of the ARIA authoring practices. */
function Search() {
  const workbench = useWorkbench()
  const id = useId()
  const [text, setText] = useState('')
  const [open, setOpen] = useState(false)
  const [active, setActive] = useState(-1)
  const list = useRef<HTMLDivElement>(null)
  const found = useHits(text)
  const hits = found.state === 'found' ? found.hits : []
  const shown = open && hits.length > 0
  const at = Math.min(active, hits.length - 1)

  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' })
  })

  function choose(repo: string) {
    setText(repo)
    setOpen(false)
    setActive(-1)
    workbench.lookAt(repo)
  }
  function press(event: React.KeyboardEvent) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (by) {
      event.preventDefault()
      setOpen(true)
      if (!hits.length) return
      // Above the first and below the last is the text itself.
      if (shown) setActive(((at + 1 + by + hits.length + 1) % (hits.length + 1)) - 1)
      else setActive(by > 0 ? 0 : hits.length - 1)
    } else if (event.key === 'Escape') {
      if (shown) setOpen(false)
      else setText('')
      setActive(-1)
    }
  }

  return (
    <form
      className="hub-search"
      onSubmit={(event) => {
        event.preventDefault()
        const repo = shown && at >= 0 ? hits[at].name : text.trim()
        if (repo) choose(repo)
      }}
    >
      <label className="field-label" htmlFor={id}>
        Search, or paste owner/name or an address
      </label>
      <div className="row tight">
        <div className="grow">
          <input
            id={id}
            className="input"
            role="combobox"
            aria-expanded={shown}
            aria-controls={`${id}-list`}
            aria-autocomplete="list"
            aria-activedescendant={shown && at >= 0 ? `${id}-${at}` : undefined}
            aria-describedby={`${id}-status`}
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            placeholder="e.g. smollm2 or HuggingFaceTB/SmolLM2-135M"
            value={text}
            onChange={(event) => {
              setText(event.target.value)
              setOpen(true)
              setActive(-1)
            }}
            onFocus={() => setOpen(true)}
            onBlur={() => setOpen(false)}
            onKeyDown={press}
          />
          <div ref={list} id={`${id}-list`} role="listbox" aria-label="Models found" className="hits" hidden={!shown}>
            {hits.map((hit, i) => (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the field above has the focus and the keys
              // biome-ignore lint/a11y/useFocusableInteractive: options of a combobox are named by aria-activedescendant
              <div
                key={hit.name}
                id={`${id}-${i}`}
                role="option"
                aria-selected={i === at}
                // The field keeps the focus.
                onMouseDown={(event) => event.preventDefault()}
                onClick={() => choose(hit.name)}
              >
                <Hit hit={hit} />
              </div>
            ))}
          </div>
        </div>
        <Button type="submit" disabled={!text.trim()}>
          Look it up
        </Button>
      </div>
      <p id={`${id}-status`} className="help" role="status">
        {statusOf(found, text)}
      </p>
    </form>
  )
}

function Hit({ hit }: { hit: HubHit }) {
  return (
    <>
      <span className="hit-name">
        {hit.name}
        <Access gated={hit.gated} secret={hit.private} />
      </span>
      <span className="hit-figures figures">
        <span>{hit.bytes === null ? 'size not told' : format.bytes(hit.bytes)}</span>
        <span>{format.parameters(hit.downloads)} downloads</span>
      </span>
    </>
  )
}

function Access({ gated, secret }: { gated: boolean; secret: boolean }) {
  return (
    <>
      {gated && ' '}
      {gated && <span className="tag">gated</span>}
      {secret && ' '}
      {secret && <span className="tag">private</span>}
    </>
  )
}

function statusOf(found: Found, text: string): string {
  if (isAddress(text.trim())) return 'Press Enter to look at the repository at this address.'
  switch (found.state) {
    case 'none':
      return 'Nothing is read before you open it, and then only what a run needs.'
    case 'asking':
      return 'Searching …'
    case 'found':
      return found.hits.length
        ? `${format.plural(found.hits.length, 'model')} found${found.hits.length > 1 ? ', the most downloaded first' : ''}.`
        : 'No model has this in its name. A private one can be looked up by its full name.'
    case 'failed':
      return `The search failed: ${found.error.message} ${found.error.hint}`.trim()
  }
}

// ---------------------------------------------------------------- what it is

function Looked({ look }: { look: Look }) {
  const workbench = useWorkbench()
  const waiting = useView((state) => state.traffic?.waiting ?? null)
  switch (look.state) {
    case 'asking':
      return (
        <div className="looked" aria-busy="true">
          <h3>{look.repo}</h3>
          <p className="hint" role="status">
            {waiting ?? `Asking ${host} what it is …`}
          </p>
          <div className="bar indeterminate" role="progressbar" aria-label="Asking the Hub" />
        </div>
      )
    case 'failed':
      return (
        <ErrorNote title={`Cannot look at ${look.repo}`} error={look.error} onClose={workbench.stopLooking}>
          <Remedies place={look} code={look.error.code} again={() => workbench.lookAt(look.repo, revisionOf(look))} />
        </ErrorNote>
      )
    case 'known':
      return <Card model={look.model} />
  }
}

/** The text may have named the revision itself. */
const revisionOf = ({ revision }: HubPlace) => (revision === 'main' ? undefined : revision)

function Card({ model }: { model: HubModel }) {
  const workbench = useWorkbench()
  const busy = useView(isBusy)
  const gpu = useView((state) => (state.gpu.state === 'ready' ? state.gpu.summary : null))
  const { source, problems, conversions, parameters } = model
  const denied = problems.find(({ code }) => code === 'hub-denied')
  const large = gpu && parameters !== null && parameters > gpu.fitsParameters
  return (
    <section className="looked" aria-label={source.repo}>
      <div className="panel-head">
        <h3>
          <a href={pageOf(source.repo)} target="_blank" rel="noreferrer">
            {source.repo}
          </a>
          <Access gated={model.gated !== false} secret={model.private} />
        </h3>
        <Button kind="quiet" icon="cancel" aria-label={`Close ${source.repo}`} onClick={workbench.stopLooking} />
      </div>
      <dl className="facts wide">
        <Fact name="Family">{model.familyLabel ?? (model.modelType ? `${model.modelType} (not supported)` : 'not told')}</Fact>
        <Fact name="Parameters">{parameters === null ? 'not told' : format.parameters(parameters)}</Fact>
        <Fact name="Safetensors">{model.bytes ? format.bytes(model.bytes) : 'none at this revision'}</Fact>
        <Fact name="Licence">{model.license ?? 'not given'}</Fact>
        <Fact name="Access">{accessOf(model)}</Fact>
        <Fact name="Downloads">{format.count(model.downloads)}</Fact>
      </dl>
      <Revisions model={model} />
      <ProblemList
        label={`What stands against opening ${source.repo}`}
        problems={[
          ...problems,
          ...(large
            ? [
                {
                  severity: 'warning' as const,
                  code: 'note' as const,
                  message: `This GPU should hold models up to about ${format.parameters(gpu.fitsParameters)} parameters.`,
                  hint: 'The plan says exactly what a run would need.',
                },
              ]
            : []),
        ]}
      />
      {conversions.length > 0 && (
        <div className="row">
          {conversions.slice(0, 3).map(({ name, bytes }) => (
            <Button key={name} onClick={() => workbench.lookAt(source.repo, name)}>
              {`Use the conversion in ${name}, ${format.bytes(bytes)}`}
            </Button>
          ))}
        </div>
      )}
      <div className="row">
        <Button
          kind="primary"
          disabled={busy || problems.some(isError)}
          onClick={() => workbench.open({ kind: 'hub', repo: source.repo, revision: source.ref })}
        >
          Open this model
        </Button>
        {denied && (
          <Remedies
            place={{ repo: source.repo, revision: source.ref }}
            code={denied.code}
            again={() => workbench.lookAt(source.repo, source.ref)}
          />
        )}
        {busy && <span className="hint">A job is running; another model can be opened when it is over.</span>}
      </div>
    </section>
  )
}

const pageOf = (repo: string) => `${hubUrl}/${repo}`

function accessOf({ gated, private: secret, problems }: HubModel): string {
  if (gated) {
    const how = gated === 'manual' ? 'its owner decides who may read it' : 'granted to all who ask'
    return problems.some(({ code }) => code === 'hub-denied') ? `gated: ${how}` : 'gated, and open to you'
  }
  return secret ? 'private, and open to you' : 'open to all'
}

/** Branches, tags, and pull requests, with those among them that bring safetensors. */
function Revisions({ model }: { model: HubModel }) {
  const workbench = useWorkbench()
  const id = useId()
  const { source, revisions, conversions } = model
  const converted = new Map(conversions.map(({ name, bytes }) => [name, bytes]))
  const groups = [
    { label: 'Branches', refs: revisions.branches },
    { label: 'Tags', refs: revisions.tags },
    { label: 'Pull requests', refs: revisions.pulls },
  ].filter(({ refs }) => refs.length)
  const named = groups.some(({ refs }) => refs.some(({ name }) => name === source.ref))
  return (
    <div className="row revision">
      <label className="field-label" htmlFor={id}>
        Revision
      </label>
      <select id={id} className="input" value={source.ref} onChange={(event) => workbench.lookAt(source.repo, event.target.value)}>
        {!named && <option value={source.ref}>{source.ref}</option>}
        {groups.map(({ label, refs }) => (
          <optgroup key={label} label={label}>
            {refs.map(({ name }) => (
              <option key={name} value={name}>
                {name}
                {converted.has(name) && `, safetensors of ${format.bytes(converted.get(name)!)}`}
              </option>
            ))}
          </optgroup>
        ))}
      </select>
      <span className="hint">
        commit <code title={source.revision}>{source.revision.slice(0, 8)}</code>
      </span>
    </div>
  )
}

/** What helps against an error of the Hub. */
export function Remedies({ place, code, again }: { place: HubPlace; code: string; again: () => void }) {
  const workbench = useWorkbench()
  const account = useView((state) => state.account)
  const denied = code === 'hub-denied'
  return (
    <>
      {denied && (
        <a className="button plain" href={pageOf(place.repo)} target="_blank" rel="noreferrer">
          Ask for access on {host}
        </a>
      )}
      {!account && (denied || code === 'hub-missing') && <Button onClick={() => workbench.showSignIn(true)}>Sign in</Button>}
      {(account || !denied) && <Button onClick={again}>Try again</Button>}
    </>
  )
}

// ---------------------------------------------------------------- account

function Account() {
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
      <button type="button" className="link" aria-expanded={open} aria-controls="hub-token" onClick={() => workbench.showSignIn(!open)}>
        Sign in
      </button>
      {open && <TokenForm onClose={() => workbench.showSignIn(false)} />}
    </>
  )
}

function TokenForm({ onClose }: { onClose: () => void }) {
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
      id="hub-token"
      className="token"
      onSubmit={(event) => {
        event.preventDefault()
        attempt(() => workbench.signIn(token, remember))
      }}
    >
      {workbench.leaveToSignIn && (
        <div className="row">
          <Button kind="primary" disabled={checking} onClick={() => attempt(workbench.leaveToSignIn!)}>
            {`Sign in on ${host}`}
          </Button>
          <span className="help">and come back here, or paste a token:</span>
        </div>
      )}
      <p className="help" id={`${id}-help`}>
        For gated and private models. A token with read access is enough:{' '}
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

// ---------------------------------------------------------------- cache

const budgets = [0, 1, 4, 16, 64, 256].map((size) => size * 2 ** 30)

/** What was read from the Hub and is kept in this browser. */
function Cache() {
  const workbench = useWorkbench()
  const cache = useView((state) => state.cache)
  const id = useId()
  return (
    <details className="cache" onToggle={(event) => event.currentTarget.open && workbench.readCache()}>
      <summary>
        Cache
        {cache && <span className="hint figures">{format.bytesOf(cache.bytes, cache.budget)}</span>}
      </summary>
      {cache && (
        <>
          <p className="help">
            What a run has read is kept in this browser, so that the next pass and the next run need not read it again. What was used
            longest ago goes first.
          </p>
          {cache.full && (
            <p className="notice warn row tight">
              <Icon name="warning" />
              <span>Nothing more is kept: {cache.full} Runs go on without.</span>
            </p>
          )}
          <dl className="facts">
            <Fact name="Kept now">{format.bytes(cache.bytes)}</Fact>
            <Fact name="All that this page stores">{format.bytesOf(cache.usage, cache.quota)} that the browser allows</Fact>
            <Fact name="Cleared">{cache.persisted ? 'only when you ask for it' : 'by the browser too, when the disk is nearly full'}</Fact>
          </dl>
          <div className="row revision">
            <label className="field-label" htmlFor={id}>
              Keep at most
            </label>
            <select
              id={id}
              className="input"
              value={cache.budget}
              onChange={(event) => workbench.setCacheBudget(Number(event.target.value))}
            >
              {[...new Set([...budgets, cache.budget])]
                .sort((a, b) => a - b)
                .map((size) => (
                  <option key={size} value={size}>
                    {size ? format.bytes(size) : 'nothing'}
                  </option>
                ))}
            </select>
            <Button icon="remove" disabled={!cache.bytes} onClick={workbench.clearCache}>
              Clear the cache
            </Button>
          </div>
        </>
      )}
    </details>
  )
}

// ---------------------------------------------------------------- what comes over the network

/** How much came, how fast, and what the cache gave instead. */
export function transferred({ fetched, cached, rate }: Pick<Traffic, 'fetched' | 'cached' | 'rate'>): string {
  return [
    `${format.bytes(fetched)} read`,
    rate > 0 && `${format.bytes(Math.round(rate))}/s`,
    cached > 0 && `${format.bytes(cached)} from the cache`,
  ]
    .filter(Boolean)
    .join(', ')
}
