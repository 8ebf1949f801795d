/** Asks before what cannot be undone. */
import { AlertDialog } from 'radix-ui'
import { useView, useWorkbench } from '../context.ts'
import { Button } from './controls.tsx'

export function Question() {
  const workbench = useWorkbench()
  const question = useView((state) => state.question)
  return (
    <AlertDialog.Root open={question !== null} onOpenChange={(open) => !open && workbench.answer(false)}>
      <AlertDialog.Portal>
        <AlertDialog.Overlay className="overlay" />
        <AlertDialog.Content className="dialog">
          <AlertDialog.Title>{question?.title}</AlertDialog.Title>
          <AlertDialog.Description asChild>
            <div>
              {question?.lines.map((line) => (
                <p key={line}>{line}</p>
              ))}
            </div>
          </AlertDialog.Description>
          <div className="row">
            <AlertDialog.Cancel asChild>
              <Button>Cancel</Button>
            </AlertDialog.Cancel>
            <Button kind="primary" onClick={() => workbench.answer(true)}>
              {question?.action ?? ''}
            </Button>
          </div>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  )
}
