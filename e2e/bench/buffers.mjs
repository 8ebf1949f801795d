/**
 * Preloaded into a process that computes on Dawn (`node --import`), it counts the bytes of all buffers that the process makes and
 * destroys, and at the end writes the most that lived at once into the file $BUFFERS_FILE: what the device held, whatever the program
 * counts itself. Plain Node; the package is that of the folder in which the process runs.
 */
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const { globals } = await import(pathToFileURL(createRequire(join(process.cwd(), 'package.json')).resolve('webgpu')).href)
const { GPUDevice, GPUBuffer } = globals
const sizes = new WeakMap()
let held = 0
let most = 0

const createBuffer = GPUDevice.prototype.createBuffer
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor)
  sizes.set(buffer, descriptor.size)
  held += descriptor.size
  most = Math.max(most, held)
  return buffer
}

const destroy = GPUBuffer.prototype.destroy
GPUBuffer.prototype.destroy = function () {
  held -= sizes.get(this) ?? 0
  sizes.delete(this)
  return destroy.call(this)
}

// A process that only starts another one made none.
process.on('exit', () => {
  if (most) writeFileSync(process.env.BUFFERS_FILE, String(most))
})
