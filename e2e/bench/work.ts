/** Error against work: the error of each method on one layer, and its work in GEMMs of the layer with Σ. */
import { diagonal, matmul } from '../../src/gpu/ops.ts'
import type { Device } from '../../src/gpu/device.ts'
import { type Options, resolveOptions } from '../../src/options.ts'
import { objective } from '../../src/quant/rounding.ts'
import { solvers } from '../../src/quant/index.ts'
import { Derived, disposeQuantized } from '../../src/quant/solver.ts'

const methods: { label: string; method: string; options: Options }[] = [
  { label: 'GPTQ', method: 'gptq', options: {} },
  { label: 'GPTQ, act-order', method: 'gptq', options: { actOrder: true } },
  { label: 'QuantEase, 10 sweeps', method: 'quantease', options: { iterations: 10 } },
  { label: 'QuantEase, 20 sweeps', method: 'quantease', options: { iterations: 20 } },
  { label: 'QuantEase, 30 sweeps', method: 'quantease', options: { iterations: 30 } },
  { label: 'GPTQ, then QuantEase', method: 'gptq_quantease', options: {} },
  { label: 'QuantEase+', method: 'quantease_plus', options: {} },
  { label: 'QuantEase+, not quick', method: 'quantease_plus', options: { quick: false } },
]

export interface WorkPoint {
  label: string
  /** ‖(W−Ŵ)X‖² / ‖WX‖² */
  error: number
  /** Operations in units of one q × p × p product. */
  products: number
}

/** A layer `[p, p]` at 3 bits whose inputs are correlated and a few of them ten times as large, as in real models. */
export async function errorAgainstWork(
  gpu: Device,
  p: number,
  random: (length: number) => Float32Array<ArrayBuffer>,
): Promise<WorkPoint[]> {
  const [tokens, rank] = [2 * p, p / 8]
  const factors = gpu.upload(random(tokens * rank), [tokens, rank])
  const loadings = gpu.upload(random(rank * p), [rank, p])
  const noise = random(tokens * p)
  for (let i = 0; i < noise.length; i++) if (i % p < 4) noise[i] *= 40
  const x = gpu.upload(noise, [tokens, p])
  matmul(gpu, factors, loadings, { out: x, beta: 1 })
  const gram = matmul(gpu, x, x, { ta: true })
  const weight = gpu.upload(random(p * p), [p, p])
  const gramDiagonal = await diagonal(gpu, gram)
  const base = await objective(gpu, weight, gram)
  const points: WorkPoint[] = []
  for (const { label, method, options: given } of methods) {
    const solver = solvers.find(({ id }) => id === method)!
    const { options } = resolveOptions(solver.options, { ...given, bits: 3 })
    const before = gpu.flops
    const derived = new Derived()
    const result = await solver.solve({ gpu, weight, gram, gramDiagonal, derived, halfScales: true }, options, {})
    points.push({ label, error: (await result.error) / base, products: (gpu.flops - before) / (2 * p ** 3) })
    disposeQuantized(result)
    derived.dispose()
  }
  for (const tensor of [factors, loadings, x, gram, weight]) tensor.dispose()
  return points
}
