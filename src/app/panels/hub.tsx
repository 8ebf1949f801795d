/** The Hub panel: search for a model, see whether it can be opened, and sign in if needed. */
import { useId, useSyncExternalStore } from 'react'
import { hubUrl } from '../../engine/hosts/client.ts'
import type { Traffic } from '../../engine/job/hub.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { Button } from './controls.tsx'
import { Icon } from './icons.tsx'
import { Fact } from './gpu.tsx'
import { Account } from './hub-account.tsx'
import { Looked } from './hub-model.tsx'
import { Search } from './hub-search.tsx'
import { ProblemList } from './problems.tsx'
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
            There is no network connection, so the Hub cannot be reached. Model folders on this machine can still be opened, and an open
            model can be planned.
          </span>
        </p>
      )}
    </div>
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
            What a run has read is kept in this browser, so that the next pass and the next run need not read it again. The least recently
            used parts are removed first.
          </p>
          {cache.full && (
            <p className="notice warn row tight">
              <Icon name="warning" />
              <span>Nothing more is cached: {cache.full} Runs continue without the cache.</span>
            </p>
          )}
          <dl className="facts">
            <Fact name="Cached now">{format.bytes(cache.bytes)}</Fact>
            <Fact name="All that this page stores">{format.bytesOf(cache.usage, cache.quota)} that the browser allows</Fact>
            <Fact name="Cleared">{cache.persisted ? 'only when you ask for it' : 'by the browser too, when the disk is nearly full'}</Fact>
          </dl>
          <div className="row revision">
            <label className="field-label" htmlFor={id}>
              Cache at most
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
