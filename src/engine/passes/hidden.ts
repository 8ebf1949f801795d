/**
 * Hidden states between two blocks, batch by batch: on the GPU while there is room, otherwise parked on the host, in memory or in a file.
 * One room serves all texts: those that pass a block once do not fill the last half of it, which is for those that pass it at every stage.
 */
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { Tensor } from '../../gpu/tensor.ts'
import { NEEDED, type Parked, type Parking } from '../parking.ts'

/** Bytes that hidden states may take on the GPU, all texts together, and those that they do. */
export class Room {
  used = 0

  constructor(readonly bytes: number) {}

  /** Takes so many bytes, if there are; `eager`: up to the last. */
  take(bytes: number, eager: boolean): boolean {
    if (this.used + bytes > this.bytes / (eager ? 1 : 2)) return false
    this.used += bytes
    return true
  }
}

export class Hidden {
  readonly #states: (Tensor | Parked | null)[]
  /** Copies on the host of states that were taken from there, while they may come back as they were. */
  readonly #lent = new Map<number, Parked>()

  constructor(
    readonly gpu: Device,
    readonly batches: TokenBatch[],
    readonly width: number,
    readonly room: Room,
    readonly parking: Parking,
    /** Whose they are, in words. */
    readonly holder: string,
    /** They pass a block several times. */
    readonly eager: boolean,
  ) {
    this.#states = batches.map(() => null)
  }

  /** The states of batch i `[windows · t, width]`; `give` them back when done. */
  async take(i: number): Promise<Tensor> {
    const state = this.#states[i]
    if (!state) throw new Error(`The hidden states of batch ${i} were never made.`)
    this.#states[i] = null
    if (state instanceof Tensor) {
      this.room.used -= state.bytes
      return state
    }
    this.#lent.set(i, state)
    const states = await this.parking.upload(this.gpu, state, [this.batches[i].windows * this.batches[i].t, this.width])
    this.gpu.memory.assign([states], this.holder)
    return states
  }

  /** Replaces the states of batch i and takes over the tensor. */
  async give(i: number, states: Tensor): Promise<void> {
    this.#drop(i)
    if (this.room.take(states.bytes, this.eager)) {
      this.gpu.memory.assign([states], this.holder)
      this.#states[i] = states
      return
    }
    const values = (await this.gpu.read(states)) as Float32Array<ArrayBuffer>
    this.#states[i] = await this.parking.park(this.gpu, values, states.bytes, this)
    states.dispose()
  }

  /** Gives states back that nobody has changed. */
  async giveBack(i: number, states: Tensor): Promise<void> {
    const lent = this.#lent.get(i)
    if (!lent) return this.give(i, states)
    this.#lent.delete(i)
    this.#states[i] = lent
    states.dispose()
  }

  /** A second copy that can be carried on without touching this one. */
  async fork(): Promise<Hidden> {
    const { gpu, batches, width, room, parking, holder, eager } = this
    const copy = new Hidden(gpu, batches, width, room, parking, holder, eager)
    for (let i = 0; i < this.batches.length; i++) {
      const states = await this.take(i)
      const twin = this.gpu.empty(states.shape)
      this.gpu.copy(states, twin)
      await this.giveBack(i, states)
      await copy.give(i, twin)
    }
    return copy
  }

  /** From now on they are needed only now and then. */
  rest(): void {
    for (const state of this.#states) if (state && !(state instanceof Tensor)) this.parking.rest(state)
  }

  get needed() {
    return this.eager ? NEEDED.several : NEEDED.once
  }

  get bytes(): number {
    return this.batches.reduce((sum, { windows, t }) => sum + windows * t * this.width * 4, 0)
  }

  /** The states of each window `[t, width]` in turn, on the host. */
  async *windows(): AsyncGenerator<Float32Array<ArrayBuffer>> {
    for (const [i, { windows, t }] of this.batches.entries()) {
      const state = this.#states[i]!
      const all =
        state instanceof Tensor ? ((await this.gpu.read(state)) as Float32Array<ArrayBuffer>) : await this.parking.read(this.gpu, state)
      for (let w = 0; w < windows; w++) yield all.subarray(w * t * this.width, (w + 1) * t * this.width)
    }
  }

  /** The way back; `read` gives the next window of so many bytes. False when one is not to be had. */
  async fill(read: (bytes: number) => Promise<Float32Array | null>): Promise<boolean> {
    for (const [i, { windows, t }] of this.batches.entries()) {
      const all = new Float32Array(windows * t * this.width)
      for (let w = 0; w < windows; w++) {
        const window = await read(t * this.width * 4)
        if (!window) return false
        all.set(window, w * t * this.width)
      }
      await this.give(i, this.gpu.upload(all, [windows * t, this.width]))
    }
    return true
  }

  #drop(i: number): void {
    const state = this.#states[i] ?? this.#lent.get(i)
    if (state instanceof Tensor) {
      this.room.used -= state.bytes
      state.dispose()
    } else if (state) this.parking.free(this.gpu, state)
    this.#states[i] = null
    this.#lent.delete(i)
  }

  dispose(): void {
    this.#states.forEach((_, i) => this.#drop(i))
  }
}
