/** Sums that wait while nobody looks at them: less room, and the same bits when they come back. */
import { afterAll, expect, test } from 'vitest'
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import { testSource } from '../../gpu/testing.ts'
import { WebGpuDevice } from '../../gpu/webgpu.ts'
import { random } from '../../data/corpus.ts'
import { Parking } from '../parking.ts'
import { StageSums } from './sums.ts'

/** The least with which sums wait: 4 MiB. */
const P = 1024
const TOKENS = 16
const WHOLE = 4 * P * P

function inputsOf(seed: number): Float32Array<ArrayBuffer> {
  const next = random(seed)
  return Float32Array.from({ length: TOKENS * P }, () => next() - 0.5)
}

const devices: Device[] = []
afterAll(() => {
  for (const device of devices) device.destroy()
})

async function opened(memory: number): Promise<Device> {
  const device = await WebGpuDevice.open(testSource(), { memory })
  devices.push(device)
  return device
}

/** Sums over one calibration window and a held-out one, both of them seeded. */
async function summed(gpu: Device, parking: Parking | null, compared: boolean): Promise<StageSums> {
  const sums = new StageSums(gpu, { name: 'down_proj', p: P }, { compared, sizes: false, parking })
  for (const seed of [1, 2]) {
    const [input, full] = [seed, seed + 10].map((one) => gpu.upload(inputsOf(one), [TOKENS, P]))
    sums.add(input, compared ? full : null, { ids: [new Int32Array(TOKENS)], windows: 1, t: TOKENS, length: TOKENS })
    for (const tensor of [input, full]) tensor.dispose()
    if (seed === 1) await sums.turn()
  }
  sums.finish()
  return sums
}

const tensorsOf = ({ seen, heldOut }: StageSums) =>
  [seen.gram, seen.cross, heldOut!.gram, heldOut!.cross, heldOut!.drift].filter((one): one is Tensor => one !== null)

const bitsOf = async (gpu: Device, sums: StageSums) =>
  Promise.all(tensorsOf(sums).map(async (tensor) => Buffer.from((await gpu.read(tensor)).buffer).toString('base64')))

const held = (gpu: Device) => gpu.memory.holdings().find(({ holder }) => holder.startsWith('sums'))?.bytes ?? 0

test.each([
  ['as triangles on the GPU', 2 ** 30, false, 9 / 8],
  ['as triangles on the GPU', 2 ** 30, true, 2 + 27 / 16],
  ['on the host, where memory is scarce', 2 ** 27, true, 0],
  ['on the host, where memory is scarce', 2 ** 27, false, 0],
])('%s (%i bytes, full-precision inputs beside: %s)', async (_, memory, compared, share) => {
  const gpu = await opened(memory)
  const whole = await summed(gpu, null, compared)
  const wanted = await bitsOf(gpu, whole)
  const before = held(gpu)
  const watch = gpu.memory.watchHolders()
  const sums = await summed(gpu, new Parking(), compared)
  const bound = StageSums.bytes(gpu, P, compared)
  const most = watch().holdings.find(({ holder }) => holder.startsWith('sums'))?.bytes ?? 0
  expect(most).toBeLessThanOrEqual(before + bound + WHOLE / 8)
  await sums.shelve()
  expect(held(gpu) - before).toBe(share * WHOLE)
  for (let times = 0; times < 2; times++) {
    await sums.fetch('gram', 'cross', 'heldOut')
    expect(held(gpu) - before).toBe((compared ? 5 : 2) * WHOLE)
    expect(await bitsOf(gpu, sums)).toEqual(wanted)
    await sums.shelve()
  }
  if (!compared) {
    // In place: what waits on the host from before must not come back.
    const by = gpu.upload(inputsOf(3).subarray(0, P), [P])
    const rescaled = [whole, sums].map(async (one) => {
      await one.rescale(by)
      await one.fetch('gram', 'heldOut')
      return [await bitsOf(gpu, one), await one.diagonal]
    })
    expect(await rescaled[1]).toEqual(await rescaled[0])
    by.dispose()
  }
  for (const one of [sums, whole]) one.dispose()
  expect(held(gpu)).toBe(0)
})
