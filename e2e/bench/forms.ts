/**
 * The part of `npm run bench` about the forms of matrix products on one adapter: each of them beside those of another build (`--against`), the
 * one that is chosen, and what share of the device's measured copying rate a product would need if it read and wrote everything once.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { chooseGemm, secondsOf } from '../../src/gpu/measure.ts'
import { forwardProduct } from '../../src/gpu/ops.ts'
import { formsFor, type GemmFormName, gemmForms, gemmKernel } from '../../src/gpu/ops/gemm-forms.ts'
import { kernelVariant } from '../../src/gpu/kernel.ts'
import type { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { checkProduct } from './gemm.ts'
import { measure, median, ratio, type Task } from './measure.ts'

/** How far a sum may be off, per term, where both factors were rounded to f16: 2⁻¹⁰ of |ab|, which is 1/16 on average. */
const HALVES = 6.5e-5
/** Bytes that are copied to measure the rate of copies. */
const COPIED = 2 ** 26

export interface FormFigures {
  chosen: string
  /** How long the search took that chose it, s. */
  searchSeconds: number
  /** Bytes read and written per second by a copy on the device. */
  copyRate: number
  products: { n: number; milliseconds: Record<string, number[]>; faster: Record<string, number> }[]
}

/** Measures all forms that the adapter offers, and the two of a checkout of an earlier build; on a software adapter in time of one core. */
export async function measureForms(gpu: WebGpuDevice, sizes: number[], rounds: number, against?: string): Promise<FormFigures> {
  const began = performance.now()
  await chooseGemm(gpu)
  const searchSeconds = (performance.now() - began) / 1000
  const chosen = gpu.gemm
  const copyRate = await copyRateOf(gpu)
  const products = []
  for (const n of sizes) {
    const tasks = tasksOf(gpu, n, chosen, against)
    for (const task of tasks)
      checkProduct(task.name, n, task.a, task.b, await task.read(), task.name.endsWith(', f16') ? HALVES : undefined)
    const samples = await measure(tasks, rounds, gpu.info.kind === 'software' ? processorClock : undefined)
    for (const task of tasks) task.dispose()
    const milliseconds = Object.fromEntries(tasks.map(({ name }, i) => [name, samples[i]]))
    const before = tasks.filter(({ name }) => name.endsWith(BEFORE)).map(({ name }) => name)
    const first = before.toSorted((a, b) => median(milliseconds[a]) - median(milliseconds[b])).at(0)
    const faster = first
      ? Object.fromEntries(tasks.map(({ name }) => [name, ratio(milliseconds[first], milliseconds[name])]))
      : ({} as Record<string, number>)
    products.push({ n, milliseconds, faster })
  }
  gpu.gemm = chosen
  return { chosen, searchSeconds, copyRate, products }
}

const BEFORE = ', the build before'

/** Milliseconds that all cores have worked for this process: what a software adapter computes, whatever else the machine does. */
function processorClock(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

async function copyRateOf(gpu: WebGpuDevice): Promise<number> {
  const [from, to] = [gpu.zeros([COPIED / 4]), gpu.zeros([COPIED / 4])]
  const seconds = await secondsOf(gpu, () => gpu.copy(from, to))
  for (const tensor of [from, to]) tensor.dispose()
  return (2 * COPIED) / seconds
}

interface ProductTask extends Task {
  a: Float32Array
  b: Float32Array
}

/** `chosen`: the form that products with inputs in f16 take, where the device offers them; their time includes rounding. */
function tasksOf(gpu: WebGpuDevice, n: number, chosen: GemmFormName, against?: string): ProductTask[] {
  const random = () => new Float32Array(n * n).map(() => Math.random() - 0.5)
  const [dataA, dataB] = [random(), random()]
  const [a, b, c] = [gpu.upload(dataA, [n, n]), gpu.upload(dataB, [n, n]), gpu.empty([n, n])]
  let open = 0
  const task = (name: string, multiply: () => void): ProductTask => ({
    name,
    a: dataA,
    b: dataB,
    async run(times) {
      for (let i = 0; i < times; i++) {
        multiply()
        await gpu.pace()
      }
      await gpu.sync()
    },
    async read() {
      multiply()
      return (await gpu.read(c)) as Float32Array
    },
    dispose() {
      if (--open === 0) for (const tensor of [a, b, c]) tensor.dispose()
    },
  })
  const ours = formsFor(gpu.info).map((form) => task(form, () => multiply(gpu, gemmKernel(form, 'f32'), form, { a, b, c })))
  const halves = task(`${chosen}, f16`, () => {
    gpu.gemm = chosen
    forwardProduct(gpu, a, b, 'f16', { out: c })
  })
  const tasks = [...ours, ...(gpu.info.f16 ? [halves] : []), ...before(gpu, against, task, { a, b, c })]
  open = tasks.length
  return tasks
}

type Operands = Record<'a' | 'b' | 'c', ReturnType<WebGpuDevice['empty']>>

/** The kernels of another build, of the same names and parameters. */
function before(
  gpu: WebGpuDevice,
  against: string | undefined,
  task: (name: string, multiply: () => void) => ProductTask,
  tensors: Operands,
): ProductTask[] {
  if (!against) return []
  const read = (name: string) => readFileSync(join(against, 'shaders', `${name}.wgsl`), 'utf8')
  const includes = Object.fromEntries(
    ['gemm_direct', 'gemm_tiled', 'lib/gemm', 'lib/left', 'lib/operand', 'lib/shape', 'lib/squares']
      .filter((name) => existsSync(join(against, 'shaders', `${name}.wgsl`)))
      .map((name) => [name, read(name)]),
  )
  return (['direct', 'tiled'] as const).map((form) => {
    const kernel = kernelVariant(gemmKernel(form, 'f32'), 'the build before', includes)
    return task(`${form}${BEFORE}`, () => multiply(gpu, kernel, form, tensors))
  })
}

/** C = A B in one dispatch, however long it takes: `gemm` would cut it into what it holds for a submit. */
function multiply(gpu: WebGpuDevice, kernel: string, form: GemmFormName, tensors: Operands): void {
  const n = tensors.a.rows
  const sides = { m: n, n, k: n, lda: n, ldb: n, ldc: n }
  const none = { a0: 0, b0: 0, c0: 0, a_outer: 0, a_inner: 0, b_outer: 0, b_inner: 0, c_outer: 0, c_inner: 0 }
  const params = { ...sides, ...none, inner: 1, share: 1, symmetric: 0, carried: 0, row0: 0, alpha: 1, beta: 0 }
  const { rows, cols } = gemmForms[form]
  gpu.run(kernel, tensors, params, [Math.ceil(n / cols), Math.ceil(n / rows)], { constants: { TA: 0, TB: 0 }, flops: 2 * n ** 3 })
}
