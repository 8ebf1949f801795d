/** The four steps: where the page is, and the way to the others. */
import { useView, useWorkbench } from './context.ts'
import * as format from './format.ts'
import { Icon } from './panels/icons.tsx'
import { isBusy, isOpen, type State, type Step, steps } from './store/state.ts'

const titles: Record<Step, string> = { model: 'Model', plan: 'Plan', run: 'Run', results: 'Results' }

export function Stepper() {
  const workbench = useWorkbench()
  const state = useView((all) => all)
  return (
    <nav className="stepper" aria-label="Steps">
      <ol>
        {steps.map((step, i) => {
          const open = isOpen(state, step)
          const word = stepState(state, step)
          const inside = (
            <>
              <span className="step-number" aria-hidden="true">
                {word === 'done' ? <Icon name="check" /> : i + 1}
              </span>
              <span>{titles[step]}</span>
              {step === 'run' && isBusy(state) && (
                <span className="step-progress figures">{format.percent(state.view!.progress.done)}</span>
              )}
            </>
          )
          return (
            <li key={step} className={`${state.step === step ? 'here' : ''} ${word}`}>
              {open ? (
                <a
                  href={`#${step}`}
                  aria-current={state.step === step ? 'step' : undefined}
                  onClick={(event) => {
                    event.preventDefault()
                    workbench.go(step)
                  }}
                >
                  {inside}
                </a>
              ) : (
                <span className="closed">
                  {inside}
                  <span className="sr">, nothing to show yet</span>
                </span>
              )}
              {step === 'run' && isBusy(state) && <span className="step-bar" style={{ width: `${state.view!.progress.done * 100}%` }} />}
            </li>
          )
        })}
      </ol>
    </nav>
  )
}

function stepState(state: State, step: Step): 'done' | 'active' | '' {
  switch (step) {
    case 'model':
      return isOpen(state, 'plan') ? 'done' : ''
    case 'plan':
      return state.view && isOpen(state, 'plan') ? 'done' : ''
    case 'run':
      return isBusy(state) ? 'active' : state.view ? 'done' : ''
    case 'results':
      return ''
  }
}
