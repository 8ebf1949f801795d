/** What waits on the host: in memory, in the file, or in memory because there is no file. */
import { expect, it } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import { TwinDevice } from '../gpu/twin.ts'
import { memoryStore } from '../io/memory.ts'
import { NEEDED, type Needed, Parking, type ScratchFile } from './parking.ts'

const gpu = () => new TwinDevice()
const values = (first: number) => Float32Array.of(first, first + 1)
const once = (holder: string) => ({ holder, needed: NEEDED.once })
const fileOf = (store = memoryStore()) => ({ store, open: (): Promise<ScratchFile> => store.edit('file') })

it('fills memory first, then the file, and takes places there again', async () => {
  const device = gpu()
  const { store, open } = fileOf()
  const parking = new Parking(16, open)
  const all = []
  for (const i of [0, 10, 20, 30]) all.push(await parking.park(device, values(i), 8, once(i < 20 ? 'a' : 'b')))
  expect(device.host).toMatchObject({ held: 16, filed: 16, fileTraffic: 16 })
  expect(device.host.holdings()).toEqual([{ holder: 'a', bytes: 16 }])
  parking.free(device, all[2])
  all[2] = await parking.park(device, values(40), 8, once('b'))
  expect(store.files.get('file')!.length).toBe(16)
  const read = []
  for (const one of all) read.push([...(await parking.read(device, one))])
  expect(read).toEqual([
    [0, 1],
    [10, 11],
    [40, 41],
    [30, 31],
  ])
  // Twice: an upload leaves them where they are.
  for (let i = 0; i < 2; i++) {
    const tensor = await parking.upload(device, all[2], [2])
    expect([...device.values(tensor)]).toEqual([40, 41])
  }
  for (const one of all) parking.free(device, one)
  expect(device.host).toMatchObject({ held: 0, filed: 0 })
  expect(device.host.lap()).toMatchObject({ held: 16, filed: 16 })
  expect(device.host.lap()).toMatchObject({ held: 0, filed: 0 })
})

it('sends to the file what is needed least', async () => {
  const device = gpu()
  const parking = new Parking(16, fileOf().open)
  const placed = async (first: number, needed: Needed) => parking.park(device, values(first), 8, { holder: '', needed })
  const [rare, once] = [await placed(0, NEEDED.several), await placed(10, NEEDED.once)]
  parking.rest(rare)
  const often = await placed(20, NEEDED.often)
  expect([rare, once, often].map(({ at }) => at)).toEqual([0, null, null])
  const [several, other] = [await placed(30, NEEDED.several), await placed(40, NEEDED.once)]
  expect([once, often, several, other].map(({ at }) => at)).toEqual([8, null, null, 16])
  expect(device.host).toMatchObject({ held: 16, filed: 24 })
  const read = await Promise.all([rare, once, often, several, other].map(async (one) => (await parking.read(device, one))[0]))
  expect(read).toEqual([0, 10, 20, 30, 40])
})

it('keeps all in memory where the file has no room, and says so once', async () => {
  const device = gpu()
  const told: string[] = []
  const open = () => Promise.reject(new WorkbenchError('storage-full', 'The disk is full.', ''))
  const parking = new Parking(8, open)
  parking.tell = ({ message }) => told.push(message)
  const all = []
  for (const i of [0, 10, 20]) all.push(await parking.park(device, values(i), 8, once('a')))
  expect(device.host).toMatchObject({ held: 24, filed: 0 })
  expect([...(await parking.read(device, all[2]))]).toEqual([20, 21])
  expect(told).toEqual(['The disk is full.'])
})

it('says what came back short', async () => {
  const device = gpu()
  const { store, open } = fileOf()
  const parking = new Parking(0, open)
  const parked = await parking.park(device, values(0), 8, once('states'))
  store.files.set('file', new Uint8Array(4))
  await expect(parking.read(device, parked)).rejects.toMatchObject({ code: 'storage-failed', message: expect.stringContaining('4 of 8') })
})
