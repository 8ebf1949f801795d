/** Lists of errors and remarks: what happened, and what to do. */
import { useState } from 'react'
import type { Problem } from '../../engine/job/model.ts'
import type { ErrorData } from '../../errors.ts'
import { Button } from './controls.tsx'
import { Icon } from './icons.tsx'
import './problems.css'

export function ProblemList({ problems, label }: { problems: (Problem & { place?: string })[]; label: string }) {
  if (!problems.length) return null
  const order = { error: 0, warning: 1, note: 2 }
  return (
    <ul className="problems" aria-label={label}>
      {[...problems]
        .sort((a, b) => order[a.severity] - order[b.severity])
        .map((problem) => (
          <li key={`${problem.code}${problem.field}${problem.message}${problem.place}`} className={problem.severity}>
            <Icon name={problem.severity === 'note' ? 'note' : 'warning'} />
            <div>
              <p>
                {problem.place && <b>{problem.place}: </b>}
                {problem.message}
              </p>
              {problem.hint && <p className="hint">{problem.hint}</p>}
            </div>
          </li>
        ))}
    </ul>
  )
}

interface ErrorNoteProps {
  title: string
  error: ErrorData
  onClose?: () => void
  children?: React.ReactNode
}

export function ErrorNote({ title, error, onClose, children }: ErrorNoteProps) {
  return (
    <section className="error-note" aria-label={title} data-code={error.code}>
      <Icon name="warning" />
      <div>
        <h2>{title}</h2>
        <p>{error.message}</p>
        {error.hint && <p className="hint">{error.hint}</p>}
        {error.detail && (
          <details>
            <summary>Details for a report</summary>
            <pre>{error.detail}</pre>
            <CopyButton text={() => `${error.message}\n\n${error.detail}`}>Copy details</CopyButton>
          </details>
        )}
        {children && <div className="row">{children}</div>}
      </div>
      {onClose && <Button kind="quiet" icon="cancel" aria-label="Close this message" onClick={onClose} />}
    </section>
  )
}

interface CopyButtonProps {
  text: () => string
  /** What the button says; where there is room for the sign only, `label` says it to those who do not see it. */
  children?: string
  label?: string
  kind?: 'plain' | 'quiet'
}

export function CopyButton({ text, children, label, kind }: CopyButtonProps) {
  const [copied, setCopied] = useState(false)
  return (
    <Button
      kind={kind}
      icon={copied ? 'check' : 'copy'}
      aria-label={label && (copied ? 'Copied' : label)}
      title={label}
      onClick={async () => {
        await navigator.clipboard.writeText(text())
        setCopied(true)
        setTimeout(() => setCopied(false), 2000)
      }}
    >
      {children && (copied ? 'Copied' : children)}
    </Button>
  )
}
