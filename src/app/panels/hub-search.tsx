/** The search for models on the Hub. */
import { useEffect, useId, useRef, useState } from 'react'
import type { HubHit } from '../../engine/job/hub.ts'
import { type ErrorData, toErrorData } from '../../errors.ts'
import { useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { Button } from './controls.tsx'
import { Access } from './hub-model.tsx'

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
export function Search() {
  const workbench = useWorkbench()
  const id = useId()
  const [text, setText] = useState('')
  const [open, setOpen] = useState(false)
  const [active, setActive] = useState(-1)
  const found = useHits(text)
  const hits = found.state === 'found' ? found.hits : []
  const shown = open && hits.length > 0
  const at = Math.min(active, hits.length - 1)

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
      if (hits.length) setActive(stepped(shown ? at : null, by, hits.length))
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
          <Box
            id={id}
            text={text}
            at={shown ? at : null}
            onType={(typed) => {
              setText(typed)
              setOpen(true)
              setActive(-1)
            }}
            onFocus={() => setOpen(true)}
            onBlur={() => setOpen(false)}
            onKeyDown={press}
          />
          <Hits id={id} hits={hits} at={at} shown={shown} onChoose={choose} />
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

interface BoxProps extends React.InputHTMLAttributes<HTMLInputElement> {
  id: string
  text: string
  /** The hit that the keys are on; -1: none; null while the list is closed. */
  at: number | null
  onType: (text: string) => void
}

/** The field of the combobox. */
function Box({ id, text, at, onType, ...rest }: BoxProps) {
  return (
    <input
      {...rest}
      id={id}
      className="input"
      role="combobox"
      aria-expanded={at !== null}
      aria-controls={`${id}-list`}
      aria-autocomplete="list"
      aria-activedescendant={at !== null && at >= 0 ? `${id}-${at}` : undefined}
      aria-describedby={`${id}-status`}
      autoComplete="off"
      autoCapitalize="none"
      spellCheck={false}
      placeholder="e.g. smollm2 or HuggingFaceTB/SmolLM2-135M"
      value={text}
      onChange={(event) => onType(event.target.value)}
    />
  )
}

/** One further; above the first and below the last is the text itself, -1. `at`: null while the list is closed. */
function stepped(at: number | null, by: number, count: number): number {
  if (at === null) return by > 0 ? 0 : count - 1
  return ((at + 1 + by + count + 1) % (count + 1)) - 1
}

interface HitsProps {
  /** Of the field above. */
  id: string
  hits: HubHit[]
  /** Which of them the keys are on; -1: none. */
  at: number
  shown: boolean
  onChoose: (repo: string) => void
}

function Hits({ id, hits, at, shown, onChoose }: HitsProps) {
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' })
  })
  return (
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
          onClick={() => onChoose(hit.name)}
        >
          <Hit hit={hit} />
        </div>
      ))}
    </div>
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
        <span>{hit.bytes === null ? 'unknown size' : format.bytes(hit.bytes)}</span>
        <span>{format.parameters(hit.downloads)} downloads</span>
      </span>
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
