/** A device may go away in the middle of anything: a new one is opened, and the work at hand is begun again on it. */
import { type ErrorCode, WorkbenchError, toErrorData } from '../../errors.ts'
import type { Device } from '../../gpu/device.ts'
import type { Host } from '../host.ts'

/**
 * Losses in one job: a device that goes away so often will do it again. Where its memory ran out, half of it is used from then on, so what
 * helps may come later.
 */
const MOST = { lost: 3, memory: 6 }
/** Failures that another device may be spared: not those of a wrong kernel or call, which would come again. */
const passing = new Set<ErrorCode>(['gpu-lost', 'gpu-failed', 'gpu-out-of-memory'])
const words = { lost: 'The GPU was lost three times', memory: 'The GPU was out of memory six times' }

/** Work on a device by way of something that is built on it anew after each loss. */
export class Recovery<Built> {
  #built: Built | null = null
  #gpu: Device | null = null
  #mark = 0
  readonly #losses = { lost: 0, memory: 0 }

  constructor(
    readonly host: Pick<Host, 'session' | 'control' | 'emit'>,
    /** `halvings`: how often there was no memory left, so how much smaller the pieces of work should be. */
    readonly build: (gpu: Device, halvings: number) => Built,
  ) {}

  /**
   * Repeats `work` from its beginning after each loss, so it must find for itself what is done already.
   * @throws WorkbenchError `gpu-lost`, `gpu-failed` at the third loss, `gpu-out-of-memory` at the sixth time; whatever else `work` throws
   */
  async do<T>(work: (built: Built) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work(await this.#open())
      } catch (error) {
        await this.#recover(error)
      }
    }
  }

  /** Frees all that was made on the device; the next work begins with a new build. */
  drop(): void {
    if (this.#gpu && !this.#gpu.failed) {
      this.#gpu.gate = null
      this.#gpu.releaseSince(this.#mark)
      this.#gpu.trim()
    }
    this.#gpu?.host.clear()
    this.host.session.parking.clear()
    this.#gpu = null
    this.#built = null
  }

  async #open(): Promise<Built> {
    if (!this.#built) {
      this.#gpu = await this.host.session.gpu()
      this.#mark = this.#gpu.mark()
      this.#built = this.build(this.#gpu, this.#losses.memory)
    }
    return this.#built
  }

  async #recover(error: unknown): Promise<void> {
    const { session, control, emit } = this.host
    const { code, message, hint } = toErrorData(error)
    if (control.stopped || !passing.has(code)) throw error
    const cause = code === 'gpu-out-of-memory' ? 'memory' : 'lost'
    const losses = ++this.#losses[cause]
    const most = MOST[cause]
    emit({ type: 'device', state: 'lost', cause, losses, most })
    if (losses === most) {
      const remedy = cause === 'lost' ? 'What is solved is kept. Close other programs that use the GPU, then resume the job.' : hint
      throw new WorkbenchError(code, `${words[cause]} in this job, the last time with: “${message}”`, remedy, { cause: error })
    }
    this.drop()
    await session.renewGpu(cause === 'memory')
    emit({ type: 'device', state: 'back', cause, losses, most })
  }
}
