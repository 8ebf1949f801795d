/** The browser's side: opens the devices, checks every result, then times. */
import { Gpu } from '../../src/gpu/device.ts'
import { checkProduct, openJax, openOurs, openTensorFlow } from './gemm.ts'
import { measure } from './measure.ts'

const gpu = await Gpu.open(navigator.gpu)
const libraries = [openOurs(gpu), await openJax(), await openTensorFlow()]

const page = {
  adapter: gpu.info,

  /** Milliseconds of C = A·B, [n, n] each, by library. */
  async gemm(n: number, rounds: number): Promise<Record<string, number>> {
    const a = random(n * n)
    const b = random(n * n)
    const tasks = libraries.map((library) => library(n, a, b))
    for (const task of tasks) checkProduct(task.name, n, a, b, await task.read())
    const medians = await measure(tasks, rounds)
    for (const task of tasks) task.dispose()
    return Object.fromEntries(tasks.map(({ name }, index) => [name, medians[index]]))
  },
}

function random(length: number) {
  return new Float32Array(length).map(() => Math.random() - 0.5)
}

export type BenchPage = typeof page
Object.assign(globalThis, { bench: page })
