/** Opens the model of the results that are shown, where the page cannot do so by itself: a browser asks before it reads a folder again. */
import { useView, useWorkbench } from '../context.ts'
import { firstShown, isOf } from '../store/run.ts'
import { Button } from './controls.tsx'

export function OpenShown() {
  const workbench = useWorkbench()
  const kept = useView(firstShown)
  const opened = useView((state) => state.model)
  const lacking = useView(({ lacks }) => lacks?.wanted === 'look')
  if (!kept || isOf(opened, kept.origin)) return null
  const { origin, model } = kept
  const reading = opened.state === 'reading'
  const name = origin.kind === 'files' ? `the folder “${origin.name}”` : model.name
  return (
    <div className="row">
      <Button kind="primary" icon="open" disabled={reading} onClick={workbench.openShownModel}>
        {reading ? 'Opening …' : `Open ${name}${opened.state === 'ready' ? ' in place of the other model' : ''}`}
      </Button>
      {lacking && !reading && (
        <span className="hint">Where the browser does not ask for it, choose or drop the folder in the step Model.</span>
      )}
    </div>
  )
}
