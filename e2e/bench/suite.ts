/** The benchmarks, run on a given device in a page or in Node. */
import { random as seeded } from '../../src/data/corpus.ts'
import type { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { PANELS } from '../../src/quant/descent.ts'
import { gpuFactorTask, hostFactorTask } from './gptq.ts'
import { checkProduct, type Library, openOurs } from './gemm.ts'
import { measure } from './measure.ts'
import { columnTask, disposeProblem, makeProblem, panelTask, solveTask } from './quantease.ts'
import { errorAgainstWork } from './work.ts'

/** What is measured on one device. Every result is checked before it is timed. */
export const benchmarks = (gpu: WebGpuDevice, libraries: Library[]) => ({
  adapter: gpu.info,

  /** Milliseconds of C = A·B, [n, n] each: by library, by round. */
  async gemm(n: number, rounds: number): Promise<Record<string, number[]>> {
    const a = random(n * n)
    const b = random(n * n)
    const tasks = [openOurs(gpu), ...libraries].map((library) => library(n, a, b))
    for (const task of tasks) checkProduct(task.name, n, a, b, await task.read())
    const samples = await measure(tasks, rounds)
    for (const task of tasks) task.dispose()
    return Object.fromEntries(tasks.map(({ name }, index) => [name, samples[index]]))
  },

  /**
   * Milliseconds of one QuantEase iteration on a layer [p, p], in our blocks, with 1 % outliers, and column by column, and
   * of one GEMM.
   */
  async quantease(p: number, rounds: number): Promise<Record<'iteration' | 'outliers' | 'gemm' | 'plain' | 'tuned', number[]>> {
    const problem = await makeProblem(gpu, p, random)
    const [few, many] = [solveTask(problem, 1), solveTask(problem, 6)]
    const product = openOurs(gpu)(p, random(p * p), random(p * p))
    // Every column costs the same, so an eighth of them tells the whole.
    const columns = [await columnTask(problem, p / 8, 1), await columnTask(problem, p / 8, 4)]
    const expected = await few.read()
    for (const task of columns) requireSame(await task.read(), expected)
    const kept = [solveTask(problem, 1, 0.01), solveTask(problem, 6, 0.01)]
    const tasks = [few, many, ...kept, product, ...columns]
    const [once, sixTimes, keptOnce, keptSixTimes, gemm, plain, tuned] = await measure(tasks, rounds)
    for (const task of tasks) task.dispose()
    disposeProblem(problem)
    const each = (many: number[], one: number[]) => many.map((value, round) => (value - one[round]) / 5)
    return {
      iteration: each(sixTimes, once),
      outliers: each(keptSixTimes, keptOnce),
      gemm,
      plain: plain.map((value) => value * 8),
      tuned: tuned.map((value) => value * 8),
    }
  },

  /** Milliseconds of one sweep on a layer [p, p], by the columns of a panel. */
  async panels(p: number, rounds: number): Promise<Record<string, number[]>> {
    const problem = await makeProblem(gpu, p, random)
    const tasks = PANELS.map((panel) => panelTask(problem, panel))
    const expected = await tasks[0].read()
    for (const task of tasks) requireSame(await task.read(), expected)
    const samples = await measure(tasks, rounds)
    for (const task of tasks) task.dispose()
    disposeProblem(problem)
    return Object.fromEntries(PANELS.map((panel, index) => [panel, samples[index]]))
  },

  /** Milliseconds of GPTQ's factorization at p inputs, on the GPU and on the host. */
  async gptq(p: number, rounds: number): Promise<Record<'gpu' | 'host', number[]>> {
    const problem = await makeProblem(gpu, p, random)
    const tasks = [gpuFactorTask(problem), await hostFactorTask(problem)]
    const [a, b] = [await tasks[0].read(), await tasks[1].read()]
    const most = b.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)
    if (a.some((value, i) => !(Math.abs(value - b[i]) < 1e-3 * most))) throw new Error('The two factors differ.')
    const [onGpu, onHost] = await measure(tasks, rounds)
    disposeProblem(problem)
    return { gpu: onGpu, host: onHost }
  },

  work(p: number) {
    // The same layer in every run, so that its figures can be compared.
    const next = seeded(1)
    return errorAgainstWork(gpu, p, (length) => new Float32Array(length).map(() => next() - 0.5))
  },
})

function random(length: number) {
  return new Float32Array(length).map(() => Math.random() - 0.5)
}

/** Rounding may fall either way where a value lies between two levels; anything more is an error. */
function requireSame(a: Float32Array, b: Float32Array) {
  const different = a.reduce((count, value, index) => count + Number(Math.abs(value - b[index]) > 1e-4), 0)
  if (different > a.length / 1000) throw new Error(`Blocks and columns differ in ${different} of ${a.length} weights.`)
}

export type Benchmarks = ReturnType<typeof benchmarks>
