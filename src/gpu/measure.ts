/** Measures a device: the rate of matrix products, the faster form of them, and bits of its arithmetic. */
import type { Device } from './device.ts'
import { gemm } from './ops.ts'
import type { Reading } from './reading.ts'

/** A measurement lasts at least this long, s, and so many ticks of the device's clock. */
const LEAST = 0.002
const TICKS = 6
/** Direct has to be so much faster than tiled, since tiles are made for GPUs. */
const MARGIN = 1.3
/** Measurements of each form at most. */
const ROUNDS = 12

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
 * Chooses the form of all products on this device, and tells it its rate and what a dispatch takes, by measuring both forms on a square product. They
 * order sums differently, so a device should choose alike each time: close results are measured again, and the best counts. On a software
 * adapter it is direct without a comparison: 5 times faster on SwiftShader, whose workgroup memory is slow, 1.7 times on lavapipe; and on
 * a busy machine one measurement in ten came out the other way.
 */
export async function chooseGemm(gpu: Device): Promise<void> {
  const n = gpu.info.kind === 'software' ? 256 : 1024
  const forms = gpu.info.kind === 'software' ? (['direct'] as const) : (['direct', 'tiled'] as const)
  const best = { direct: Number.POSITIVE_INFINITY, tiled: Number.POSITIVE_INFINITY }
  for (let round = 0; round < ROUNDS; round++) {
    for (const form of forms) best[form] = Math.min(best[form], await gemmSeconds(gpu, form, n))
    if (forms.length === 1) break
    const ratio = best.tiled / best.direct
    if (ratio > 2 * MARGIN || ratio < MARGIN / 4) break
  }
  gpu.gemm = best.tiled > MARGIN * best.direct ? 'direct' : 'tiled'
  gpu.learn((2 * n ** 3) / best[gpu.gemm])
  const [x, y] = [gpu.zeros([64]), gpu.zeros([64])]
  gpu.dispatchSeconds = await secondsOf(gpu, () => gpu.run1d('add', { x, y }, { n: 64 }, 16))
  for (const tensor of [x, y]) tensor.dispose()
  gpu.trim()
}

/** Seconds of a product of two matrices `[n, n]`. */
async function gemmSeconds(gpu: Device, form: Device['gemm'], n: number): Promise<number> {
  // Not zeros: GPUs run faster on them.
  const noise = () => gpu.upload(Float32Array.from({ length: n * n }, Math.random), [n, n])
  const [a, b, c] = [noise(), noise(), gpu.empty([n, n])]
  gpu.gemm = form
  const seconds = await secondsOf(gpu, () => gemm(gpu, { a, b, c, m: n, n, k: n, lda: n, ldb: n, ldc: n }))
  for (const tensor of [a, b, c]) tensor.dispose()
  return seconds
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
