/** What every worker does beside its work: events as lines, a lock that it renews, and signals. */
import { WorkbenchError } from '../errors.ts'
import { stopOnSignals } from '../cli/process.ts'
import { Control } from '../engine/control.ts'
import { Target, type TargetRequest } from '../engine/hosts/target.ts'
import type { RunEvent } from '../engine/job/events.ts'
import { EventLines } from './files.ts'

/** Seconds after which a worker that cannot be seen from here counts as gone, unless it has renewed its lock. */
const LEASE = 300

export class Worker {
  readonly control = new Control()
  readonly #events: EventLines
  #target: Target | null = null
  #renewing: NodeJS.Timeout | undefined
  #deaf: (() => void) | null = null

  /** `events`: the file of its events; null where they go to stdout alone. */
  constructor(events: string | null) {
    this.#events = new EventLines(events)
  }

  tell(event: Parameters<EventLines['tell']>[0]): void {
    this.#events.tell(event)
  }

  /** An event of the engine. */
  hear(event: RunEvent): void {
    this.#events.hear(event)
    // Nobody is there to free space and say so.
    if (event.type === 'paused' && event.storage) {
      const { what, problem } = event.storage
      const hint = 'Free some space and run it again: what is solved is kept.'
      this.control.stop(new WorkbenchError('storage-full', `There is no space for ${what}. ${problem.message}`, hint))
    }
  }

  /** Takes a folder for itself until the end. @throws {WorkbenchError} `journal-busy` and what else `Target.claim` says */
  async claim(request: Pick<TargetRequest, 'path' | 'model' | 'overwrite'>): Promise<Target> {
    const say = (message: string) => this.tell({ type: 'note', message })
    const target = await Target.claim({ ...request, lease: LEASE, say })
    this.#target = target
    process.once('exit', target.release)
    this.#renewing = setInterval(
      () => {
        if (target.lock.renew()) return
        const hint = 'Its clock or its disk stood still for longer than the lease; the work is theirs now.'
        this.control.stop(new WorkbenchError('journal-busy', `Another worker has taken over ${target.path}.`, hint))
      },
      (LEASE / 5) * 1000,
    )
    this.#renewing.unref()
    this.#deaf = stopOnSignals(this.control)
    return target
  }

  end(): void {
    clearInterval(this.#renewing)
    this.#deaf?.()
    if (!this.#target) return
    process.off('exit', this.#target.release)
    this.#target.release()
  }
}
