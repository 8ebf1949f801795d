/** C = A·B in f32, by us and by two libraries, each on the device that it opens for itself on the same adapter. */
import { defaultDevice, getWebGPUDevice, init, numpy } from '@jax-js/jax'
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-webgpu'
import type { Gpu } from '../../src/gpu/device.ts'
import { matmul } from '../../src/gpu/ops.ts'
import type { Task } from './measure.ts'

/** Makes the task of multiplying two matrices [n, n]. */
export type Library = (n: number, a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>) => Task

export function openOurs(gpu: Gpu): Library {
  return (n, dataA, dataB) => {
    const a = gpu.upload(dataA, [n, n])
    const b = gpu.upload(dataB, [n, n])
    const c = gpu.empty([n, n])
    return {
      name: 'ours',
      async run(times) {
        for (let i = 0; i < times; i++) {
          matmul(gpu, a, b, { out: c })
          await gpu.pace()
        }
        await gpu.sync()
      },
      async read() {
        matmul(gpu, a, b, { out: c })
        return (await gpu.read(c)) as Float32Array
      },
      dispose() {
        for (const tensor of [a, b, c]) tensor.dispose()
      },
    }
  }
}

export async function openJax(): Promise<Library> {
  if (!(await init('webgpu')).includes('webgpu')) throw new Error('jax-js found no WebGPU.')
  defaultDevice('webgpu')
  const { queue } = getWebGPUDevice()
  return (n, dataA, dataB) => {
    const a = numpy.array(dataA, { shape: [n, n] })
    const b = numpy.array(dataB, { shape: [n, n] })
    const multiply = () => numpy.matmul(a.ref, b.ref)
    return {
      name: 'jax-js',
      async run(times) {
        // A product is lazy until somebody waits for it.
        const products = Array.from({ length: times }, multiply)
        await Promise.all(products.map((product) => product.blockUntilReady()))
        await queue.onSubmittedWorkDone()
        for (const product of products) product.dispose()
      },
      read: async () => (await multiply().data()) as Float32Array,
      dispose() {
        a.dispose()
        b.dispose()
      },
    }
  }
}

export async function openTensorFlow(): Promise<Library> {
  await tf.setBackend('webgpu')
  const backend = tf.backend() as WebGPUBackend
  return (n, dataA, dataB) => {
    const a = tf.tensor2d(dataA, [n, n])
    const b = tf.tensor2d(dataB, [n, n])
    return {
      name: 'tfjs',
      async run(times) {
        for (let i = 0; i < times; i++) tf.matMul(a, b).dispose()
        backend.endComputePassEncoder()
        backend.submitQueue()
        await backend.queue.onSubmittedWorkDone()
      },
      read: async () => (await tf.matMul(a, b).data()) as Float32Array,
      dispose() {
        a.dispose()
        b.dispose()
      },
    }
  }
}

/** Checks some rows of a product against float64. */
export function checkProduct(name: string, n: number, a: Float32Array, b: Float32Array, c: Float32Array) {
  for (const row of [0, 1, n >> 1, n - 1]) {
    for (let column = 0; column < n; column++) {
      let sum = 0
      for (let k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column]
      const got = c[row * n + column]
      if (!(Math.abs(got - sum) <= 1e-6 * n)) throw new Error(`${name}, GEMM ${n}: [${row}, ${column}] is ${got}, not ${sum}.`)
    }
  }
}
