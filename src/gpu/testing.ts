/** Test set-up: WebGPU in Node by Dawn. A missing adapter fails every test that asks for it. */
import { afterAll } from 'vitest'
import { create, globals } from 'webgpu'
import { Gpu } from './device.ts'

Object.assign(globalThis, globals)

// Collected while in use, this object takes the process down with it.
const dawn = create([])
let opened: Promise<Gpu> | null = null

/** The device of this test file; one adapter gives one device. */
export function testGpu(): Promise<Gpu> {
  opened ??= Gpu.open(dawn)
  return opened
}

/** Where further devices come from. */
export function testSource(): GPU {
  return create([])
}

afterAll(async () => {
  if (opened) (await opened).destroy()
  opened = null
})
