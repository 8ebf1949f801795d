/** The header: what the GPU is, the theme, and help. */
import { Popover } from 'radix-ui'
import { useView, useWorkbench } from './context.ts'
import { Choice, Switch } from './panels/fields.tsx'
import { Icon } from './panels/icons.tsx'
import { GpuChip } from './panels/gpu.tsx'
import type { Theme } from './store/state.ts'

interface HeaderProps {
  help: boolean
  onHelp: (open: boolean) => void
  onSkip: () => void
}

export function Header({ help, onHelp, onSkip }: HeaderProps) {
  return (
    <header className="header">
      <button type="button" className="skip" onClick={onSkip}>
        Skip to content
      </button>
      <span className="name">QuantEase Workbench</span>
      <div className="header-tools">
        <GpuChip />
        <ThemeMenu />
        <Help open={help} onOpenChange={onHelp} />
      </div>
    </header>
  )
}

function ThemeMenu() {
  const workbench = useWorkbench()
  const theme = useView((state) => state.preferences.theme)
  const icon = { system: 'system', light: 'sun', dark: 'moon' } as const
  return (
    <Popover.Root>
      <Popover.Trigger className="button quiet bare" aria-label={`Theme: ${theme}`} title="Theme">
        <Icon name={icon[theme]} />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover theme" align="end" sideOffset={4} collisionPadding={8} aria-label="Theme">
          <Choice
            name="theme"
            value={theme}
            choices={[
              { value: 'system', label: 'System' },
              { value: 'light', label: 'Light' },
              { value: 'dark', label: 'Dark' },
            ]}
            onChange={(value: Theme) => workbench.prefer({ theme: value })}
          />
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}

const keyList: [string, string][] = [
  ['1 2 3 4', 'Model, Plan, Run, Results'],
  ['p', 'Pause or resume the job'],
  ['?', 'Show or hide this list'],
  ['Tab', 'Next control'],
  ['Esc', 'Close what is open'],
  ['← →', 'Step through the values of a chart that has the focus'],
  ['← → ↑ ↓', 'Step through the cells of a map, Enter opens one'],
]

function Help({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const workbench = useWorkbench()
  const keys = useView((state) => state.preferences.keys)
  return (
    <Popover.Root open={open} onOpenChange={onOpenChange}>
      <Popover.Trigger className="button quiet bare" aria-label="Help" title="Help">
        <b aria-hidden="true">?</b>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="popover" align="end" sideOffset={8} collisionPadding={8} aria-label="Help">
          <h2>How it works</h2>
          <p>
            Open a model, plan one or more runs, start them, compare. Each run replaces the weights of every linear layer by a few bits
            each; the charts show what that does to the layers and to the model. Everything happens on this machine.
          </p>
          <h2>Keys</h2>
          <dl className="keys">
            {keyList.map(([key, what]) => (
              <div key={key}>
                <dt>
                  {key.split(' ').map((each) => (
                    <kbd key={each}>{each}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
          <div className="row">
            <Switch id="single-keys" checked={keys} onChange={(on) => workbench.prefer({ keys: on })} />
            <label htmlFor="single-keys">Single keys act on the page</label>
          </div>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  )
}
