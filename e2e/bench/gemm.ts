/** Our f32 matrix product, as a benchmark task that libraries are compared with. */
import type { Device } from '../../src/gpu/device.ts'
import { matmul } from '../../src/gpu/ops.ts'
import type { Task } from './measure.ts'

/** Makes the task of multiplying two matrices [n, n]. */
export type Library = (n: number, a: Float32Array<ArrayBuffer>, b: Float32Array<ArrayBuffer>) => Task

export function openOurs(gpu: Device): Library {
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

/** Checks some rows of a product against float64. */
export function checkProduct(name: string, n: number, a: Float32Array, b: Float32Array, c: Float32Array, tolerance = 1e-6) {
  for (const row of [0, 1, n >> 1, n - 1]) {
    for (let column = 0; column < n; column++) {
      let sum = 0
      for (let k = 0; k < n; k++) sum += a[row * n + k] * b[k * n + column]
      const got = c[row * n + column]
      if (!(Math.abs(got - sum) <= tolerance * n)) throw new Error(`${name}, GEMM ${n}: [${row}, ${column}] is ${got}, not ${sum}.`)
    }
  }
}
