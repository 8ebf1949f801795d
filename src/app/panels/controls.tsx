/** Controls that all panels share: buttons, tips, bars. */
import { Tooltip } from 'radix-ui'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import './controls.css'
import { type IconName, Icon } from './icons.tsx'

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

/** A problem or a note of the check, with its sign. */
export function Said({ severity, children }: { severity: string; children: ReactNode }) {
  return (
    <p className={`field-problem ${severity}`}>
      <Icon name={severity === 'note' ? 'note' : 'warning'} />
      <span>{children}</span>
    </p>
  )
}
