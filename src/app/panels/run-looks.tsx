/** Whether a run is drawn, and whether it comes first. */
import { memo } from 'react'
import { useView, useWorkbench } from '../context.ts'
import type { RunView } from '../reduce.ts'
import { Button } from './controls.tsx'
import './run-looks.css'

function Looks({ run: { id, label } }: { run: RunView }) {
  const workbench = useWorkbench()
  const hidden = useView((state) => state.hidden.includes(id))
  const pinned = useView((state) => state.pinned.includes(id))
  return (
    <span className="run-looks">
      <Button
        kind="quiet"
        icon="pin"
        aria-pressed={pinned}
        aria-label={`Put ${label} first`}
        title="Put first"
        onClick={() => workbench.pin(id)}
      />
      <Button
        kind="quiet"
        icon={hidden ? 'hidden' : 'eye'}
        aria-pressed={hidden}
        aria-label={`Hide ${label} in charts`}
        title={hidden ? 'Hidden in charts' : 'Hide in charts'}
        onClick={() => workbench.hide(id)}
      />
    </span>
  )
}

export const RunLooks = memo(Looks, (a, b) => a.run.id === b.run.id && a.run.label === b.run.label)
