/** The ledger of what waits on the host until the device needs it again: who holds how much memory, and what lies in files. */
import type { Holding } from './memory.ts'

export interface HostPeaks {
  /** Bytes in memory, and who held them. */
  held: number
  holdings: Holding[]
  /** Bytes in files. */
  filed: number
}

export class HostMemory {
  /** Bytes in memory. */
  held = 0
  /** Bytes in files. */
  filed = 0
  /** Bytes written to files and read back since the device was opened. */
  fileTraffic = 0
  readonly #holders = new Map<string, number>()
  #most = this.#now()

  /** So many bytes more, or less, in memory. */
  hold(holder: string, bytes: number): void {
    this.held += bytes
    this.#holders.set(holder, (this.#holders.get(holder) ?? 0) + bytes)
    if (this.held > this.#most.held) this.#most = { ...this.#now(), filed: this.#most.filed }
  }

  /** So many bytes more, or less, in files. */
  file(bytes: number): void {
    this.filed += bytes
    this.#most.filed = Math.max(this.#most.filed, this.filed)
  }

  /** All that is in memory, by holders, the largest first. */
  holdings(): Holding[] {
    return [...this.#holders].flatMap(([holder, bytes]) => (bytes ? [{ holder, bytes }] : [])).sort((a, b) => b.bytes - a.bytes)
  }

  /** The most since the last call. */
  lap(): HostPeaks {
    const most = this.#most
    this.#most = this.#now()
    return most
  }

  /** Nothing waits any more. */
  clear(): void {
    this.held = 0
    this.filed = 0
    this.#holders.clear()
  }

  #now(): HostPeaks {
    return { held: this.held, holdings: this.holdings(), filed: this.filed }
  }
}
