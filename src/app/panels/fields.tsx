/** Fields of a form: with their label and help, and with what the check finds wrong there. */
import { type ReactNode, useEffect, useId, useRef, useState } from 'react'
import type { Problem } from '../../engine/job/model.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import { problemsOf } from '../check.ts'
import { isError } from '../store/state.ts'
import { Icon } from './icons.tsx'
import { Button, Tip, Said } from './controls.tsx'
import './fields.css'

interface FieldProps {
  label: string
  help?: string
  cost?: string
  symbol?: string
  /** Said under the control, e.g. that it changes nothing. */
  note?: string
  /** Where it is in the Job: what the check finds wrong there is said here. */
  path?: string
  /** Only what is wrong is said at the field; the rest of what the check finds is said elsewhere. */
  errorsOnly?: boolean
  /** A group of controls; a single one is named by a label. */
  group?: boolean
  children: (control: { id: string; 'aria-describedby': string | undefined; 'aria-invalid': true | undefined }) => ReactNode
}

export function Field({ label, help, cost, symbol, note, path, errorsOnly, group, children }: FieldProps) {
  const id = useId()
  const check = useView((state) => state.check)
  const refused = useView((state) => state.refusedText)
  // What is typed says by itself that it is no number; what the value before it is like is beside the point.
  const unread = useView((state) => path !== undefined && state.unread.includes(path))
  const said = (problem: Problem) => problem.field === path && (!errorsOnly || isError(problem))
  const problems = path && !unread ? [...(refused ? [refused] : []), ...problemsOf(check)].filter(said) : []
  const described = [help && `${id}-help`, note && `${id}-note`, problems.length && `${id}-problems`].filter(Boolean).join(' ')
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
      {note && (
        <p className="hint" id={`${id}-note`}>
          {note}
        </p>
      )}
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
  const head = (name: ReactNode) => (
    <div className={mark ? 'field-head marked' : 'field-head'}>
      {name}
      {mark}
    </div>
  )
  if (group) {
    return (
      // biome-ignore lint/a11y/useSemanticElements: beside a legend nothing can stand in the same line of text
      <div className="field" role="group" data-field={path} aria-labelledby={`${id}-label`} aria-describedby={described || undefined}>
        {head(
          <span className="field-label" id={`${id}-label`}>
            {label}
          </span>,
        )}
        {inside}
      </div>
    )
  }
  return (
    <div className="field" data-field={path}>
      {head(
        <label className="field-label" htmlFor={id}>
          {label}
        </label>,
      )}
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
