/** Full storage: the job waits for free space instead of losing its work. */
import { WorkbenchError, toErrorData } from '../../errors.ts'
import type { Sink } from '../../io/bytes.ts'
import type { Control } from '../control.ts'
import type { RunEvent } from '../job/events.ts'

interface Pausable {
  control: Control
  emit(event: RunEvent): void
}

/**
 * Repeats `work` until there is enough space, pausing the job in between. `needed` returns the bytes still missing.
 * @throws WorkbenchError what `work` throws but `storage-full`; `cancelled`
 */
export async function withRoom<T>({ control, emit }: Pausable, what: string, needed: () => number, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof WorkbenchError && error.code === 'storage-full')) throw error
      control.pause()
      emit({ type: 'paused', storage: { what, needed: needed(), problem: toErrorData(error) } })
      await control.check().finally(() => emit({ type: 'resumed' }))
    }
  }
}

/** A sink that waits for free space; `total` bytes will be written, besides what says how they were made. */
export function patient(sink: Sink, host: Pausable, what: string, total: number): Sink {
  let claimed = 0
  let written = 0
  return {
    async create(path, size) {
      const file = await withRoom(
        host,
        what,
        () => Math.max(size, total - claimed),
        () => sink.create(path, size),
      )
      claimed += size
      return {
        async write(data, at) {
          await withRoom(
            host,
            what,
            () => Math.max(data.length, total - written),
            () => file.write(data, at),
          )
          written += data.length
        },
        close: () => file.close(),
      }
    },
    open: (path) => sink.open(path),
    commit: () =>
      withRoom(
        host,
        what,
        () => 0,
        () => sink.commit(),
      ),
    remove: () => sink.remove(),
  }
}
