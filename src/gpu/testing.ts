/** Test set-up: WebGPU in Node by Dawn. A missing adapter fails every test that asks for it. */
import { afterAll } from 'vitest'
import { dawn } from './dawn.ts'
import { Gpu } from './device.ts'

const source = dawn()
let opened: Promise<Gpu> | null = null

/** The device of this test file; one adapter gives one device. */
export function testGpu(): Promise<Gpu> {
  opened ??= Gpu.open(source)
  return opened
}

/** Where further devices come from. */
export function testSource(): GPU {
  return dawn()
}

afterAll(async () => {
  if (opened) (await opened).destroy()
  opened = null
})
