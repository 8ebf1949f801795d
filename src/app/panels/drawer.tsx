/** The drawer of one linear: what is known of it, run by run. */
import { Dialog } from 'radix-ui'
import { useId } from 'react'
import { LinearObjective } from '../charts/objective.tsx'
import { placeIn, shortName } from '../charts/names.ts'
import { useView, useWorkbench } from '../context.ts'
import * as format from '../format.ts'
import type { JobView } from '../reduce.ts'
import { Button } from './controls.tsx'
import { Known } from './layers.tsx'
import './drawer.css'

export function Drawer({ name }: { name: string }) {
  const workbench = useWorkbench()
  const view = useView((state) => state.view)
  const words = useId()
  return (
    <Dialog.Root open onOpenChange={(open) => !open && workbench.closeLinear()}>
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="drawer" aria-describedby={words}>
          <div className="drawer-head">
            <div>
              <Dialog.Title className="drawer-title">{shortName(name)}</Dialog.Title>
              <p className="hint" id={words}>
                {facts(name, view)}
              </p>
            </div>
            <Dialog.Close asChild>
              <Button kind="quiet" icon="cancel" aria-label={`Close ${shortName(name)}`} />
            </Dialog.Close>
          </div>
          {view && <Runs view={view} name={name} />}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

/** "Block 3, self_attn.q_proj: 4,096 × 4,096, outputs × inputs" */
function facts(name: string, view: JobView | null): string {
  const { block, module } = placeIn(name)
  const layer = view?.runs.flatMap(({ layers }) => layers).find((one) => one.name === name)
  return `Block ${block}, ${module}${layer ? `: ${format.shape(layer.shape)}, outputs by inputs` : ''}`
}

/** Results of every run that has solved it. */
function Runs({ view, name }: { view: JobView; name: string }) {
  const layers = view.runs.map((run) => run.layers.find((layer) => layer.name === name))
  if (!layers.some(Boolean)) return <p className="hint">No run has solved it yet.</p>
  return (
    <>
      <section className="panel" aria-label="Results by run">
        <Known view={view} name={name} layers={layers} />
      </section>
      <LinearObjective view={view} name={name} />
    </>
  )
}
