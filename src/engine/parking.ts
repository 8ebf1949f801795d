/**
 * Where values wait that have no room on the GPU: in host memory as far as a run may use it, beyond that in a file. What is needed less
 * often makes room for what is needed more often. Of what is needed equally often, in the same order again and again, that which came
 * first stays in memory and the rest goes to the file.
 */
import { toErrorData, WorkbenchError } from '../errors.ts'
import type { Device } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { discard, type StoreFile } from '../io/bytes.ts'
import type { Problem } from './job/model.ts'

/** The part of a machine's memory that what waits may take. */
export const HOST_SHARE = 0.5

type Floats = Float32Array<ArrayBuffer>

/** How often values are needed: once a run, once or several times in each block, many times. */
export const NEEDED = { rarely: 0, once: 1, several: 2, often: 3 } as const
export type Needed = (typeof NEEDED)[keyof typeof NEEDED]

/** A file that nobody else has: empty when opened, gone when closed. */
export type ScratchFile = Pick<StoreFile, 'read' | 'write' | 'close'>

/** Values that wait. */
export interface Parked {
  readonly holder: string
  readonly bytes: number
  needed: Needed
  /** Null for those in the file, unless the device only counts. */
  values: Floats | null
  /** Where they begin in the file; null for those in memory. */
  at: number | null
}

export class Parking {
  #file: Promise<ScratchFile> | null = null
  /** The file before this one is gone. */
  closed: Promise<void> = Promise.resolve()
  /** Where the file ends, and what is free before that, by size. */
  #end = 0
  readonly #free = new Map<number, number[]>()
  /** What is in memory, by how often it is needed. */
  readonly #memory = Object.values(NEEDED).map(() => new Set<Parked>())
  #broken = false
  /** Is told why values stay in memory that should go to the file. */
  tell: (problem: Problem) => void = () => {}

  constructor(
    /** Bytes of host memory that a run may use. */
    readonly limit = Number.POSITIVE_INFINITY,
    /** Opens the file for what is beyond that; null where there can be none. */
    readonly open: (() => Promise<ScratchFile>) | null = null,
  ) {}

  /** Takes over values of so many bytes; of a device that only counts there are fewer. */
  async park(gpu: Device, values: Floats, bytes: number, { holder, needed }: Pick<Parked, 'holder' | 'needed'>): Promise<Parked> {
    const parked: Parked = { holder, needed, bytes, values, at: null }
    for (const one of this.#memory.slice(0, needed).flatMap((some) => [...some])) {
      if (!this.#exceeds(gpu, bytes) || !(await this.#toFile(gpu, one))) break
      this.#memory[one.needed].delete(one)
      gpu.host.hold(one.holder, -one.bytes)
    }
    if (!this.#exceeds(gpu, bytes) || !(await this.#toFile(gpu, parked))) {
      this.#memory[needed].add(parked)
      gpu.host.hold(holder, bytes)
    }
    return parked
  }

  /** From now on these are needed once a run. */
  rest(parked: Parked): void {
    if (this.#memory[parked.needed].delete(parked)) this.#memory[NEEDED.rarely].add(parked)
    parked.needed = NEEDED.rarely
  }

  /** The values, not to be changed. @throws {WorkbenchError} `storage-failed` */
  async read(gpu: Device, { values, at, bytes, holder }: Parked): Promise<Floats> {
    if (at !== null) gpu.host.fileTraffic += bytes
    if (values) return values
    const read = await (await this.#file!).read(at!, at! + bytes)
    if (read.byteLength === bytes) return new Float32Array(read.buffer)
    const message = `What waited in a file (${holder}) could not be read back: ${read.byteLength} of ${bytes} bytes came.`
    throw new WorkbenchError('storage-failed', message, 'Check the disk, then resume the job.')
  }

  /** The values as a tensor; they also stay where they are. @throws {WorkbenchError} `storage-failed` */
  async upload(gpu: Device, parked: Parked, shape: readonly number[]): Promise<Tensor> {
    const values = await this.read(gpu, parked)
    const tensor = gpu.upload(values, shape)
    if (!parked.values) discard(new Uint8Array(values.buffer))
    return tensor
  }

  free(gpu: Device, parked: Parked): void {
    const { holder, bytes, at } = parked
    this.#memory[parked.needed].delete(parked)
    parked.values = null
    if (at === null) gpu.host.hold(holder, -bytes)
    else {
      gpu.host.file(-bytes)
      this.#free.set(bytes, [...(this.#free.get(bytes) ?? []), at])
    }
  }

  /** Nothing waits any more. */
  clear(): void {
    const file = this.#file
    this.#file = null
    if (file) this.closed = file.then((open) => open.close()).catch(() => {})
    this.#end = 0
    this.#free.clear()
    for (const some of this.#memory) some.clear()
    this.#broken = false
  }

  #exceeds({ host }: Device, bytes: number): boolean {
    return this.open !== null && !this.#broken && host.held + bytes > this.limit
  }

  /** Whether the file had room. */
  async #toFile(gpu: Device, parked: Parked): Promise<boolean> {
    parked.at = gpu.computes ? await this.#write(parked) : 0
    if (parked.at === null) return false
    gpu.host.file(parked.bytes)
    gpu.host.fileTraffic += parked.bytes
    return true
  }

  /** Where in the file the values are now; null where it has no room. */
  async #write(parked: Parked): Promise<number | null> {
    const values = new Uint8Array(parked.values!.buffer)
    const at = this.#free.get(parked.bytes)?.pop() ?? this.#end
    try {
      this.#file ??= this.closed.then(() => this.open!())
      await (await this.#file).write(values, at)
    } catch (error) {
      const { code, message } = toErrorData(error)
      if (!code.startsWith('storage-')) throw error
      this.#broken = true
      const hint = 'Hidden states stay in memory, of which the run then takes more than it should.'
      this.tell({ severity: 'warning', code: 'note', message, hint })
      return null
    }
    this.#end = Math.max(this.#end, at + parked.bytes)
    parked.values = null
    discard(values)
    return at
  }
}
