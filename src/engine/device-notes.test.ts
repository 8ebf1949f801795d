/** Notes on devices: what comes back, and what is not believed. */
import { expect, test } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { type DeviceNote, DeviceNotes, type NoteStore } from './device-notes.ts'

const device = (told: string) => ({ info: { told } }) as Device

function memory(): NoteStore & { kept: Map<string, unknown> } {
  const kept = new Map<string, unknown>()
  return { kept, get: async (name) => kept.get(name), set: async (name, note) => void kept.set(name, note) }
}

test('another session finds what was noted, of the same device only', async () => {
  const store = memory()
  await new DeviceNotes(store).add(device('a'), { gemm: 'direct' })
  await new DeviceNotes(store).add(device('a'), { memory: 2 ** 30 })
  await new DeviceNotes(store).add(device('a'), { pace: { rates: [] } })
  expect(await new DeviceNotes(store).of(device('a'))).toEqual({ gemm: 'direct', memory: 2 ** 30, pace: { rates: [] } })
  expect(await new DeviceNotes(store).of(device('b'))).toEqual({})
})

test.each<unknown>([null, 'direct', { gemm: 'none', memory: -1 }, { gemm: 3, memory: '9' }, { memory: Number.NaN, pace: 3 }])(
  'nothing is taken from %o',
  async (bad) => {
    const notes = new DeviceNotes({ get: async () => bad, set: async () => {} })
    expect(await notes.of(device('a'))).toEqual({})
  },
)

test('without a place, or with one that fails, the session itself remembers', async () => {
  const failing: NoteStore = {
    get: () => Promise.reject(new Error('no')),
    set: (_name: string, _note: DeviceNote) => Promise.reject(new Error('no')),
  }
  for (const store of [null, failing]) {
    const notes = new DeviceNotes(store)
    await notes.add(device('a'), { memory: 4096 })
    expect(await notes.of(device('a'))).toEqual({ memory: 4096 })
  }
})
