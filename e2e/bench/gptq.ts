/** The serial part of GPTQ: the factor of H on the GPU in float32, and on the host in float64. */
import { feedback, feedback64 } from '../../src/gpu/linalg.ts'
import type { LinearProblem } from '../../src/quant/solver.ts'
import type { Task } from './measure.ts'

/** Damped by 1 %, as GPTQ does. */
function symmetric({ gram, gramDiagonal }: LinearProblem) {
  const p = gramDiagonal.length
  const mean = gramDiagonal.reduce((sum, value) => sum + value, 0) / p
  return {
    gram,
    order: Uint32Array.from({ length: p }, (_, i) => i),
    diagonal: Float64Array.from(gramDiagonal, (value) => value + 0.01 * mean),
  }
}

export function gpuFactorTask(problem: LinearProblem): Task {
  const { gpu } = problem
  const matrix = symmetric(problem)
  const factor = async () => {
    const vt = await feedback(gpu, matrix)
    if (!vt) throw new Error('A random Gram matrix could not be factored.')
    return vt
  }
  return {
    name: 'factor, float32 on the GPU',
    async run(times) {
      for (let i = 0; i < times; i++) (await factor()).dispose()
      await gpu.sync()
    },
    async read() {
      const vt = await factor()
      const values = (await gpu.read(vt)) as Float32Array
      vt.dispose()
      return values
    },
    dispose() {},
  }
}

export async function hostFactorTask(problem: LinearProblem): Promise<Task> {
  const { order, diagonal } = symmetric(problem)
  const values = await problem.gpu.read(problem.gram)
  const factor = () => feedback64(values, order, diagonal, async () => {})
  return {
    name: 'factor, float64 on the host',
    async run(times) {
      for (let i = 0; i < times; i++) await factor()
    },
    read: async () => Float32Array.from((await factor())!),
    dispose() {},
  }
}
