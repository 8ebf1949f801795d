/** Controls that all panels share: buttons, fields, tables, tips. */
import { Tooltip } from 'radix-ui'
import { type ReactNode, useEffect, useId, useRef, useState } from 'react'
import type { Problem } from '../../engine/job/model.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { problemsOf } from '../plan.ts'
import { isError } from '../store/state.ts'
import './controls.css'
import './fields.css'

// ---------------------------------------------------------------- icons

const strokes = {
  add: 'M8 3v10M3 8h10',
  cancel: 'M4 4l8 8M12 4l-8 8',
  chat: 'M2.5 3h11v8H7.5L4.5 13.5V11h-2z',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  copy: 'M6 6h7v7H6zM3 10V3h7',
  down: 'M4 6l4 4 4-4',
  eye: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z',
  hidden: 'M2.5 5.5C3.5 8 5.5 9.5 8 9.5s4.5-1.5 5.5-4M8 9.5v2.5M4.5 8.5L3 10.5M11.5 8.5l1.5 2',
  up: 'M4 10l4-4 4 4',
  download: 'M8 2.5v7M5 7l3 3 3-3M3 13h10',
  clock: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM8 4.5V8l2.5 1.5',
  compare: 'M3 3.5h4v9H3zM9 6.5h4v6H9z',
  file: 'M4 2h5l3 3v9H4zM9 2v3h3',
  folder: 'M2 4h4l1.5 2H14v7H2z',
  moon: 'M12.5 10A5.5 5.5 0 0 1 6 3.5 5.5 5.5 0 1 0 12.5 10z',
  next: 'M6 4l4 4-4 4',
  note: 'M8 7v4.5M8 4.5v.01M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z',
  open: 'M2.5 3h11v10h-11zM9.5 3v10',
  pause: 'M5.5 3v10M10.5 3v10',
  pin: 'M5.5 2h5M6.5 2v4.5L4 9.5h8L9.5 6.5V2M8 9.5v4.5',
  play: 'M5 3l7.5 5L5 13z',
  previous: 'M10 4L6 8l4 4',
  remove: 'M3 4.5h10M6 4V2.5h4V4M4.5 4.5l.5 9h6l.5-9',
  rename: 'M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3z',
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3L13.5 13.5',
  sun: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  system: 'M2 3h12v8H2zM6 13.5h4',
  table: 'M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 6.5v6',
  upload: 'M8 10.5v-8M5 5.5l3-3 3 3M3 13h10',
  warning: 'M8 2L14.5 13.5h-13zM8 6.5v3.5M8 11.8v.01',
}
export type IconName = keyof typeof strokes

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={strokes[name]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  )
}

// ---------------------------------------------------------------- buttons

interface ButtonProps extends React.ComponentProps<'button'> {
  icon?: IconName
  kind?: 'primary' | 'plain' | 'quiet'
}

export function Button({ icon, kind = 'plain', children, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} className={`button ${kind} ${children ? '' : 'bare'} ${rest.className ?? ''}`}>
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  )
}

// ---------------------------------------------------------------- tips

/** A sentence on hover, focus or tap of something small. */
export function Tip({
  text,
  children,
  className = 'tip',
  label,
}: {
  text: ReactNode
  children: ReactNode
  className?: string
  label?: string
}) {
  const [open, setOpen] = useState(false)
  return (
    <Tooltip.Root open={open} onOpenChange={setOpen} delayDuration={200}>
      <Tooltip.Trigger
        type="button"
        className={className}
        aria-label={label}
        onClick={(event) => {
          event.preventDefault()
          setOpen(true)
        }}
      >
        {children}
      </Tooltip.Trigger>
      <Tooltip.Portal>
        <Tooltip.Content className="tooltip" sideOffset={4} collisionPadding={8} onPointerDownOutside={() => setOpen(false)}>
          {text}
        </Tooltip.Content>
      </Tooltip.Portal>
    </Tooltip.Root>
  )
}

// ---------------------------------------------------------------- fields

interface FieldProps {
  label: string
  help?: string
  cost?: string
  symbol?: string
  /** Where it is in the Job: what the check finds wrong there is said here. */
  path?: string
  /** Only what is wrong is said at the field; the rest of what the check finds is said elsewhere. */
  errorsOnly?: boolean
  /** A group of radios is named by a legend; a single control by a label. */
  group?: boolean
  children: (control: { id: string; 'aria-describedby': string | undefined; 'aria-invalid': true | undefined }) => ReactNode
}

export function Field({ label, help, cost, symbol, path, errorsOnly, group, children }: FieldProps) {
  const id = useId()
  const check = useView((state) => state.check)
  const refused = useView((state) => state.refusedText)
  // What is typed says by itself that it is no number; what the value before it is like is beside the point.
  const unread = useView((state) => path !== undefined && state.unread.includes(path))
  const said = (problem: Problem) => problem.field === path && (!errorsOnly || isError(problem))
  const problems = path && !unread ? [...(refused ? [refused] : []), ...problemsOf(check)].filter(said) : []
  const described = [help && `${id}-help`, problems.length && `${id}-problems`].filter(Boolean).join(' ')
  const invalid = problems.some(isError) || undefined
  const words = help && (
    <>
      {help}
      {cost && <span className="cost"> {sentence(cost)}</span>}
    </>
  )
  const mark = (words || symbol) && (
    <Tip
      text={
        <>
          {words}
          {symbol && ` ${symbol} in the paper.`}
        </>
      }
      label={`About ${label}`}
      className="symbol"
    >
      {symbol ? <i>{symbol}</i> : <Icon name="note" />}
    </Tip>
  )
  const inside = (
    <>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': invalid })}
      {problems.length > 0 && (
        <div id={`${id}-problems`}>
          {problems.map(({ severity, message, hint }) => (
            <Said key={message} severity={severity}>
              {message} {hint}
            </Said>
          ))}
        </div>
      )}
      {words && (
        <p className="sr" id={`${id}-help`}>
          {words}
        </p>
      )}
    </>
  )
  if (group) {
    return (
      <fieldset className="field" data-field={path} aria-describedby={described || undefined}>
        <legend>
          <span className="field-label">{label}</span>
        </legend>
        {mark}
        <div className="field-body">{inside}</div>
      </fieldset>
    )
  }
  return (
    <div className="field" data-field={path}>
      <div className="field-head">
        <label className="field-label" htmlFor={id}>
          {label}
        </label>
        {mark}
      </div>
      {inside}
    </div>
  )
}

function sentence(text: string): string {
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.')
}

interface NumberFieldProps extends Omit<React.InputHTMLAttributes<HTMLInputElement>, 'value' | 'onChange' | 'type'> {
  value: number
  whole?: boolean
  /** What an arrow key changes, and how far it goes. */
  step?: number
  min?: number
  max?: number
  onChange: (value: number) => void
}

/**
 * Hands on numbers only. What is none stays as it was typed, with a sentence that says so, and holds the start of the plan until
 * it is right or taken back.
 */
export function NumberField({
  value,
  whole,
  step = 1,
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
  onChange,
  ...rest
}: NumberFieldProps) {
  const workbench = useWorkbench()
  const own = useId()
  const id = rest.id ?? own
  const [draft, setDraft] = useState<string | null>(null)
  const input = useRef<HTMLInputElement>(null)
  const parse = whole ? format.parseWhole : format.parseNumber
  const refused = draft !== null && parse(draft) === null
  useEffect(() => {
    if (!refused) return
    // By its place in the plan, so that nobody speaks of the value before it.
    const field = input.current?.closest<HTMLElement>('[data-field]')?.dataset.field ?? id
    workbench.holdStart(field, true)
    return () => workbench.holdStart(field, false)
  }, [workbench, id, refused])
  const takeBack = () => setDraft(null)
  return (
    <>
      <input
        {...rest}
        ref={input}
        className="input number"
        inputMode={whole ? 'numeric' : 'decimal'}
        autoComplete="off"
        value={draft ?? String(value)}
        aria-invalid={refused || rest['aria-invalid']}
        aria-describedby={refused ? `${id}-refused` : rest['aria-describedby']}
        onChange={(event) => {
          const text = event.target.value
          setDraft(text)
          const number = parse(text)
          if (number !== null) onChange(number)
        }}
        onBlur={() => {
          if (!refused) setDraft(null)
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape') takeBack()
          const by = { ArrowUp: 1, ArrowDown: -1 }[event.key]
          if (!by) return
          event.preventDefault()
          setDraft(null)
          // Sums of tenths and hundredths come out a little off.
          onChange(Math.min(max, Math.max(min, Number((value + by * step).toPrecision(12)))))
        }}
      />
      {refused && (
        <p className="field-problem error" role="alert" id={`${id}-refused`}>
          <Icon name="warning" />
          <span>
            {draft.trim()
              ? `“${draft.trim()}” is not a ${whole ? 'whole ' : ''}number.`
              : `A ${whole ? 'whole ' : ''}number is needed here.`}{' '}
            <Button kind="quiet" onClick={takeBack}>
              Back to {String(value)}
            </Button>
          </span>
        </p>
      )}
    </>
  )
}

interface ChoiceProps<T extends string | number> {
  name: string
  value: T
  choices: readonly { value: T; label: string }[]
  onChange: (value: T) => void
}

/** A few choices, all in sight. */
export function Choice<T extends string | number>({ name, value, choices, onChange }: ChoiceProps<T>) {
  return (
    <div className="choice">
      {choices.map((choice) => (
        <label key={choice.value} className={choice.value === value ? 'on' : ''}>
          <input type="radio" name={name} checked={choice.value === value} onChange={() => onChange(choice.value)} />
          {choice.label}
        </label>
      ))}
    </div>
  )
}

export function Switch({
  checked,
  onChange,
  ...rest
}: {
  checked: boolean
  onChange: (checked: boolean) => void
  id?: string
  disabled?: boolean
}) {
  return (
    <input
      {...rest}
      type="checkbox"
      role="switch"
      aria-checked={checked}
      className="switch"
      checked={checked}
      onChange={(event) => onChange(event.target.checked)}
    />
  )
}

/** A button that opens the file picker of browsers that have no other. */
export function FilesButton({ folder, onFiles, ...button }: ButtonProps & { folder?: boolean; onFiles: (files: FileList) => void }) {
  const input = useRef<HTMLInputElement>(null)
  // Not among the attributes that React knows.
  useEffect(() => {
    if (folder) input.current?.setAttribute('webkitdirectory', '')
  }, [folder])
  return (
    <>
      <Button {...button} onClick={() => input.current?.click()} />
      <input
        ref={input}
        type="file"
        hidden
        multiple
        aria-label={typeof button.children === 'string' ? button.children : button['aria-label']}
        onChange={(event) => {
          if (event.target.files?.length) onFiles(event.target.files)
          event.target.value = ''
        }}
      />
    </>
  )
}

export function Bar({ label, done, colour }: { label: string; done: number; colour?: string }) {
  return (
    <div className="bar" role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(done * 100)}>
      <span style={{ scale: `${done} 1`, background: colour }} />
    </div>
  )
}

// ---------------------------------------------------------------- runs

/** One for each of twelve runs; colour is never alone. Drawn around the origin, 10 px wide. */
const shapes = [
  'M-4-4h8v8h-8z',
  'M4.5 0a4.5 4.5 0 1 1-9 0a4.5 4.5 0 1 1 9 0z',
  'M0-5L5 4H-5z',
  'M0-5.5L5.5 0L0 5.5L-5.5 0z',
  'M-2-5h4v3h3v4h-3v3h-4v-3h-3v-4h3z',
  'M0 5L5-4H-5z',
  'M-3-5.2L0-2.2L3-5.2L5.2-3L2.2 0L5.2 3L3 5.2L0 2.2L-3 5.2L-5.2 3L-2.2 0L-5.2-3z',
  'M0-5.5L1.4-1.8L5.3-1.7L2.2 0.7L3.3 4.5L0 2.3L-3.3 4.5L-2.2 0.7L-5.3-1.7L-1.4-1.8z',
  'M-5-2.2h10v4.4h-10z',
  'M-2.2-5h4.4v10h-4.4z',
  'M-5-4L4 0L-5 4z',
  'M5-4L-4 0L5 4z',
]
/** Okabe-Ito in its order and two more; `--run-1` and so on in tokens.css. */
const colours = 8

/**
 * Runs keep their looks wherever they stand in the plan: both come from the number in the id, which is never given twice.
 * The ninth run has the first colour again, but a shape of its own.
 */
const numberOf = (run: string) => Math.max(0, Number(/\d+$/.exec(run)?.[0] ?? 1) - 1)

export const runColour = (run: string) => `var(--run-${(numberOf(run) % colours) + 1})`
export const runShape = (run: string) => shapes[numberOf(run) % shapes.length]
/** Dashes of its line: from the ninth run on, which has a colour a second time, and for all where colours are the system's. */
export const runDash = (run: string) => `var(--dash-${(numberOf(run) % shapes.length) + 1})`

export function RunMark({ run }: { run: string }) {
  return (
    <svg className="run-mark" viewBox="-6 -6 12 12" width="12" height="12" aria-hidden="true">
      <path d={runShape(run)} fill={runColour(run)} />
    </svg>
  )
}

/** A problem or a note of the check, with its sign. */
export function Said({ severity, children }: { severity: string; children: ReactNode }) {
  return (
    <p className={`field-problem ${severity}`}>
      <Icon name={severity === 'note' ? 'note' : 'warning'} />
      <span>{children}</span>
    </p>
  )
}
