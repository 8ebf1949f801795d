/** The libraries compared with: two for the browser, each on its own device of the same adapter. */
import { defaultDevice, getWebGPUDevice, init, numpy } from '@jax-js/jax'
import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-webgpu'
import type { Library } from './gemm.ts'

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
