/** Process-level work of a job: locking the output folder, signals, and waiting for free disk space. */
import type { Control } from '../engine/control.ts'
import { Target, type TargetRequest } from '../engine/hosts/target.ts'
import type { StorageNeed } from '../engine/job/events.ts'
import { WorkbenchError } from '../errors.ts'
import type { Speaker } from './speaker.ts'

/** Claims the folder of the checkpoint for this process. */
export async function claim(request: Omit<TargetRequest, 'say'>, say: Speaker): Promise<Target> {
  const target = await Target.claim({ ...request, say: (sentence) => say.note(sentence) })
  process.once('exit', target.release)
  for (const signal of signals) process.once(signal, leave)
  return target
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** By process.exit, which releases the lock. */
const leave = () => process.exit(130)

/** Milliseconds within which signals are one: who signals a whole group also reaches the program above, which passes it on. */
const SAME = 1000

/** The first signal cancels the job, which keeps what it has; a later one ends the program. What it returns undoes this. */
export function stopOnSignals(control: Control): () => void {
  let first: number | null = null
  const stop = () => {
    if (first !== null && performance.now() - first > SAME) leave()
    first ??= performance.now()
    control.cancel()
  }
  for (const signal of signals) process.off(signal, leave).on(signal, stop)
  return () => {
    for (const signal of signals) process.off(signal, stop)
  }
}

/** On a terminal the user can free space and continue; a script gets an exit code. */
export function waitForRoom(control: Control, { what, needed, problem }: StorageNeed): void {
  const size = needed < 2 ** 20 ? `${Math.ceil(needed / 2 ** 10)} KiB` : `${(needed / 2 ** 20).toFixed(1)} MiB`
  const missing = `There is no space for ${what}${needed > 0 ? `, which still takes ${size}` : ''}. ${problem.message}`
  if (!process.stdin.isTTY) {
    control.stop(new WorkbenchError('storage-full', missing, problem.hint))
    return
  }
  process.stderr.write(`\n${missing}\nFree some space and press Enter to continue, or Ctrl-C to stop.\n`)
  process.stdin.once('data', () => {
    process.stdin.pause()
    control.resume()
  })
}
