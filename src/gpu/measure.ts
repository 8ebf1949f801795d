/** Measures a device: the rate of matrix products, the fastest form of them, and bits of its arithmetic. */
import { WorkbenchError } from '../errors.ts'
import type { Device } from './device.ts'
import { gemm } from './ops.ts'
import { formsFor, type GemmFormName } from './ops/gemm-forms.ts'
import type { Reading } from './reading.ts'

/** A measurement lasts at least this long, s, and so many ticks of the device's clock. */
const LEAST = 0.002
const TICKS = 6
/** A form has to be so much faster than one before it in the table, so that a device is likely to choose alike each time. */
const MARGIN = 1.2
/** Measurements of each form at most, and the seconds after which none is begun, and none of a form that was not compiled yet. */
const ROUNDS = 6
const SEARCH_SECONDS = 1.5
const TRY_SECONDS = 1
/** Bytes that are sent, and read back, to measure how fast that goes: on a GPU about those of the hidden states of a batch. */
const TRANSFERRED = { gpu: 2 ** 24, software: 2 ** 18 }
/** Of a product of matrices with entries up to 1: by what a right sum differs at most, as a share of the largest. */
const TOLERANCE = 1e-5

/** Seconds that `work` takes, from as much of it as makes the device's tick small beside the whole. The first one compiles. */
export async function secondsOf(gpu: Device, work: () => void | Promise<void>): Promise<number> {
  const least = Math.max(LEAST, TICKS * gpu.tick)
  await work()
  await gpu.sync()
  for (let count = 1; ; ) {
    const start = performance.now()
    for (let i = 0; i < count; i++) await work()
    await gpu.sync()
    const seconds = (performance.now() - start) / 1000
    // The end is noticed at the next tick, half of one late on average.
    if (seconds >= least) return (seconds - gpu.tick / 2) / count
    count = Math.ceil(count * Math.min(16, Math.max(2, (1.5 * least) / seconds)))
  }
}

/**
 * Chooses the form of all products on this device, and tells it its rate, what a dispatch takes and how fast transfers are, by measuring a
 * square product in the forms of its kind (gemm-forms.ts), within two seconds. They order sums differently, so a device should choose alike each time: the best
 * of several measurements counts. `known`: what was chosen on this device before, which is then only measured.
 */
export async function chooseGemm(gpu: Device, known: GemmFormName | null = null): Promise<void> {
  const n = gpu.info.kind === 'software' ? 256 : 1024
  const offered = formsFor(gpu.info)
  const best = await secondsOfForms(gpu, known && offered.includes(known) ? [known] : offered, n)
  const [first, ...others] = best.keys()
  if (!first)
    throw new WorkbenchError(
      'gpu-failed',
      `The products of matrices that ${gpu.info.name} computes are wrong.`,
      'Update the graphics driver, or use another browser.',
    )
  gpu.gemm = others.reduce((chosen, form) => (best.get(chosen)! > MARGIN * best.get(form)! ? form : chosen), first)
  gpu.learn((2 * n ** 3) / best.get(gpu.gemm)!)
  const [x, y] = [gpu.zeros([64]), gpu.zeros([64])]
  gpu.dispatchSeconds = await secondsOf(gpu, () => gpu.run1d('add', { x, y }, { n: 64 }, 16))
  for (const tensor of [x, y]) tensor.dispose()
  gpu.transferRate = await transferRate(gpu)
  gpu.trim()
}

/** Bytes per second between host and device, from some that are sent and read back. */
async function transferRate(gpu: Device): Promise<number> {
  const bytes = TRANSFERRED[gpu.info.kind]
  const values = new Float32Array(bytes / 4)
  const there = gpu.empty([values.length])
  const seconds = await secondsOf(gpu, async () => {
    gpu.write(there, values)
    await gpu.read(there)
  })
  there.dispose()
  return (2 * bytes) / seconds
}

/** Seconds of a product of two matrices `[n, n]`, by forms: all there was time for, without those that another product comes of. */
async function secondsOfForms(gpu: Device, forms: GemmFormName[], n: number): Promise<Map<GemmFormName, number>> {
  // Not zeros: GPUs run faster on them.
  const [x, y] = [0, 1].map(() => Float32Array.from({ length: n * n }, Math.random))
  const [a, b, c] = [gpu.upload(x, [n, n]), gpu.upload(y, [n, n]), gpu.empty([n, n])]
  const best = new Map<GemmFormName, number>()
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  const time = async (form: GemmFormName) => {
    gpu.gemm = form
    const seconds = await secondsOf(gpu, () => gemm(gpu, { a, b, c, m: n, n, k: n, lda: n, ldb: n, ldc: n }))
    best.set(form, Math.min(seconds, best.get(form) ?? seconds))
  }
  for (const form of forms) {
    if (best.size && elapsed() > TRY_SECONDS) break
    await time(form)
    if (forms.length > 1 && !isProduct((await gpu.read(c)) as Float32Array, x, y, n)) best.delete(form)
  }
  for (let round = 1; round < ROUNDS && best.size > 1; round++)
    for (const form of best.keys()) if (elapsed() < SEARCH_SECONDS) await time(form)
  for (const tensor of [a, b, c]) tensor.dispose()
  return best
}

/** Whether a few rows of `c` are those of the product a · b, `[n, n]` each, whose entries lie between 0 and 1. */
function isProduct(c: Float32Array, a: Float32Array, b: Float32Array, n: number): boolean {
  return [0, (n >> 1) + 3, n - 1].every((row) => {
    const exact = new Float64Array(n)
    for (let k = 0; k < n; k++) for (let col = 0; col < n; col++) exact[col] += a[row * n + k] * b[k * n + col]
    return exact.every((value, col) => Math.abs(c[row * n + col] - value) <= TOLERANCE * n)
  })
}

/** Rows of the probe's own kernel, and the size of its product. */
const PROBES = 256
const PRODUCT = 64

/**
 * Bits of results that depend on how a device rounds, fuses and orders operations, first `probe.wgsl`'s, then of a product in
 * both forms. Two devices with the same ones may still differ elsewhere, but devices with others will not give the same codes.
 */
export function probeArithmetic(gpu: Device): Reading<Uint32Array> {
  let state = 1
  const noise = (length: number) =>
    Float32Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 31 - 1
    })
  const x = gpu.upload(noise(4 * PROBES), [PROBES, 4])
  const y = gpu.empty([PROBES, 8])
  gpu.run1d('probe', { x, y }, { n: PROBES }, PROBES)
  const n = PRODUCT
  const [a, b] = [gpu.upload(noise(n * n), [n, n]), gpu.upload(noise(n * n), [n, n])]
  const all = gpu.empty([8 * PROBES + 2 * n * n], 'u32')
  gpu.copy(y, all)
  const { gemm: chosen } = gpu
  for (const [i, form] of (['direct', 'tiled'] as const).entries()) {
    const c = gpu.empty([n, n])
    gpu.gemm = form
    gemm(gpu, { a, b, c, m: n, n, k: n, lda: n, ldb: n, ldc: n })
    gpu.copy(c, all, n * n, 0, 8 * PROBES + i * n * n)
    c.dispose()
  }
  gpu.gemm = chosen
  const bits = gpu.read(all) as Reading<Uint32Array>
  for (const tensor of [x, y, a, b, all]) tensor.dispose()
  return bits
}
