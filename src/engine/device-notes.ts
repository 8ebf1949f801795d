/**
 * What was found out about a device, kept from one opening to the next: how products are fastest there, how much memory it turned out
 * to have, and how long runs took on it. Notes only save time: where they cannot be read or kept, all is found out again.
 */
import type { Device } from '../gpu/device.ts'
import { type GemmFormName, gemmFormNames } from '../gpu/ops/gemm-forms.ts'
import { sha256 } from '../io/digest.ts'
import { isObject } from '../io/json.ts'

export interface DeviceNote {
  gemm?: GemmFormName
  /** Bytes that a run may use, where less could be had than the device's limits suggest. */
  memory?: number
  /** What `Pace` learned there. */
  pace?: unknown
}

/** A place for notes, by names of 16 hexadecimal digits. */
export interface NoteStore {
  get(device: string): Promise<unknown>
  set(device: string, note: DeviceNote): Promise<void>
}

export class DeviceNotes {
  /** Those of this session. */
  readonly #notes = new Map<string, DeviceNote>()

  constructor(readonly store: NoteStore | null) {}

  async of(device: Pick<Device, 'info'>): Promise<DeviceNote> {
    const name = await nameOf(device)
    const known = this.#notes.get(name) ?? readNote(await this.store?.get(name).catch(() => null))
    this.#notes.set(name, known)
    return known
  }

  async add(device: Pick<Device, 'info'>, more: DeviceNote): Promise<void> {
    const note = { ...(await this.of(device)), ...more }
    const name = await nameOf(device)
    this.#notes.set(name, note)
    await this.store?.set(name, note).catch(() => {})
  }
}

/** Another driver, browser or table of forms makes it another device. */
async function nameOf({ info }: Pick<Device, 'info'>): Promise<string> {
  const told = JSON.stringify([info.told, globalThis.navigator?.userAgent ?? '', gemmFormNames])
  return (await sha256(new TextEncoder().encode(told))).slice(0, 16)
}

/** A note as it was kept, without what makes no sense. */
function readNote(kept: unknown): DeviceNote {
  const { gemm, memory, pace } = isObject(kept) ? kept : {}
  return {
    ...(gemmFormNames.includes(gemm as GemmFormName) && { gemm: gemm as GemmFormName }),
    ...(typeof memory === 'number' && Number.isFinite(memory) && memory > 0 && { memory }),
    ...(isObject(pace) && { pace }),
  }
}
