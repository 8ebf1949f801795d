/** `--push`: uploads the checkpoint in the folder of `--save` to a repository of the Hub. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Control } from '../engine/control.ts'
import { diskFile } from '../engine/hosts/node.ts'
import type { Target } from '../engine/hosts/target.ts'
import { type Hub, loadPushing, type Pushed, type PushPlace } from '../engine/hub.ts'
import { toErrorData, WorkbenchError } from '../errors.ts'
import { stopOnSignals } from './process.ts'
import type { Speaker } from './speaker.ts'

/** @throws {WorkbenchError} whose hint says that `--resume` goes on */
export async function upload(hub: Hub, target: Target, place: PushPlace, say: Speaker): Promise<Pushed> {
  const control = new Control()
  stopOnSignals(control)
  try {
    const files = await Promise.all(
      (await target.files()).map(async (path) => {
        const full = join(target.path, path)
        return { path, bytes: await diskFile(full), content: pathToFileURL(full) }
      }),
    )
    if (!files.some(({ path }) => path === 'README.md'))
      throw new WorkbenchError(
        'option-invalid',
        `${target.path} contains several checkpoints, one per subfolder, and a repository holds one.`,
        'Write one of them by itself with --format.',
      )
    const { push } = await loadPushing()
    const pushed = await push(hub, place, files, { tell: (progress) => say.upload(progress), signal: control.signal })
    say.done()
    const before = pushed.kept ? `; ${pushed.kept} were there already` : ''
    say.note(`Uploaded ${pushed.sent} files to ${pushed.url} (${place.public ? 'public' : 'private'})${before}.`)
    return pushed
  } catch (error) {
    say.done()
    const { code, message, hint, detail } = toErrorData(control.cancelled ? new WorkbenchError('cancelled', 'it was cancelled.') : error)
    if (detail) throw error
    const again = `The checkpoint is in ${target.path}: the same command with --resume uploads what is missing.`
    throw new WorkbenchError(code, `The checkpoint was not uploaded: ${message}`, `${hint} ${again}`.trim(), { cause: error })
  }
}
