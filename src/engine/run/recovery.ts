/** A device may go away in the middle of anything: a new one is opened, and the work at hand is begun again on it. */
import { type ErrorCode, WorkbenchError, toErrorData } from '../../errors.ts'
import type { Device } from '../../gpu/device.ts'
import type { Host } from '../host.ts'

/** Losses in one job; a device that goes away so often will do it again. */
const MOST = 3
/** Failures that another device may be spared: not those of a wrong kernel or call, which would come again. */
const passing = new Set<ErrorCode>(['gpu-lost', 'gpu-failed', 'gpu-out-of-memory'])
const times = ['never', 'once', 'twice', 'three times']

/** Work on a device by way of something that is built on it anew after each loss. */
export class Recovery<Built> {
  #built: Built | null = null
  #gpu: Device | null = null
  #mark = 0
  #losses = 0
  #halvings = 0

  constructor(
    readonly host: Pick<Host, 'session' | 'control' | 'emit'>,
    /** `halvings`: how often there was no memory left, so how much smaller the pieces of work should be. */
    readonly build: (gpu: Device, halvings: number) => Built,
  ) {}

  /**
   * Repeats `work` from its beginning after each loss, so it must find for itself what is done already.
   * @throws WorkbenchError `gpu-lost`, `gpu-failed`, `gpu-out-of-memory` at the third loss; whatever else `work` throws
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
    this.#gpu = null
    this.#built = null
  }

  async #open(): Promise<Built> {
    if (!this.#built) {
      this.#gpu = await this.host.session.gpu()
      this.#mark = this.#gpu.mark()
      this.#built = this.build(this.#gpu, this.#halvings)
    }
    return this.#built
  }

  async #recover(error: unknown): Promise<void> {
    const { session, control, emit } = this.host
    const { code, message, hint } = toErrorData(error)
    if (control.stopped || !passing.has(code)) throw error
    const cause = code === 'gpu-out-of-memory' ? 'memory' : 'lost'
    const losses = ++this.#losses
    emit({ type: 'device', state: 'lost', cause, losses, most: MOST })
    if (losses === MOST) {
      const [what, remedy] =
        cause === 'lost'
          ? ['The GPU was lost', 'What is solved is kept. Close other programs that use the GPU, then resume the job.']
          : ['The GPU was lost or out of memory', hint]
      throw new WorkbenchError(code, `${what} ${times[MOST]} in this job, the last time with: “${message}”`, remedy, { cause: error })
    }
    if (cause === 'memory') this.#halvings++
    this.drop()
    await session.renewGpu()
    emit({ type: 'device', state: 'back', cause, losses, most: MOST })
  }
}
