/** One MatMulNBits node, computed by onnxruntime itself: CPU, and its WebGPU kernels where there is an adapter. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { afterAll, describe, expect, it } from 'vitest'
import type { SolvedLinear } from '../../../quant/linear.ts'
import { putBits, words } from '../../bits.ts'
import { blocksOf, encodeBlocks, partBytes } from './nbits.ts'
import { encodeModel, type Graph, type Initializer } from './proto.ts'

const folder = await mkdtemp(join(tmpdir(), 'nbits-'))
afterAll(() => rm(folder, { recursive: true }))

/** A linear with codes, float16 scales and zero points that a small generator makes; and its weights `[q, p]`. */
function randomLinear(q: number, p: number, bits: SolvedLinear['bits'], groupSize: number, symmetric: boolean) {
  let state = 7
  const next = (most: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * most)
  }
  const size = groupSize === -1 ? p : groupSize
  const groups = Math.ceil(p / size)
  const grid = new Float32Array(groups * q * 2)
  for (let i = 0; i < groups * q; i++) {
    grid[2 * i] = (next(1000) + 24) / 4096
    grid[2 * i + 1] = symmetric ? 2 ** (bits - 1) : next(2 ** bits)
  }
  const columns = Array.from({ length: q }, () => new Uint32Array(words(p, bits)))
  const weights = new Float64Array(q * p)
  for (let n = 0; n < q; n++) {
    for (let k = 0; k < p; k++) {
      const code = next(2 ** bits)
      putBits(columns[n], k * bits, bits, code)
      const cell = 2 * (Math.floor(k / size) * q + n)
      weights[n * p + k] = grid[cell] * (code - grid[cell + 1])
    }
  }
  const codes = Uint32Array.from({ length: words(p, bits) * q }, (_, i) => columns[i % q][Math.floor(i / q)])
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / size))
  const solved: SolvedLinear = { bits, q, p, groupSize: size, groups, codes, grid, groupIndex, outliers: null }
  return { solved, weights }
}

async function session(solved: SolvedLinear, settings: { groupSize: number; symmetric: boolean }, provider: 'cpu' | 'webgpu') {
  const blocks = blocksOf(solved, settings)!
  const { q, p, bits, size, count } = blocks
  const { codes, scales, zeros } = encodeBlocks(solved, blocks)
  const bytes = partBytes(blocks)
  expect([codes.length, scales.length, zeros?.length ?? 0]).toEqual([bytes.codes, bytes.scales, bytes.zeros])
  const parts = [codes, scales, ...(zeros ? [zeros] : [])]
  const offsets = parts.map((_, i) => parts.slice(0, i).reduce((sum, { length }) => sum + Math.ceil(length / 16) * 16, 0))
  const data = new Uint8Array(offsets.at(-1)! + parts.at(-1)!.length)
  for (const [i, part] of parts.entries()) data.set(part, offsets[i])
  await writeFile(join(folder, 'data'), data)
  const initializer = (name: string, type: Initializer['type'], dims: number[], i: number): Initializer => ({
    name,
    type,
    dims,
    content: { location: 'data', offset: offsets[i], length: parts[i].length },
  })
  const graph: Graph = {
    inputs: [{ name: 'x', type: 'FLOAT', dims: ['m', p] }],
    outputs: [{ name: 'y', type: 'FLOAT', dims: ['m', q] }],
    nodes: [
      {
        op: 'MatMulNBits',
        domain: 'com.microsoft',
        name: 'y',
        inputs: ['x', 'codes', 'scales', ...(zeros ? ['zeros'] : [])],
        outputs: ['y'],
        ints: { K: p, N: q, bits, block_size: size, accuracy_level: 0 },
        floats: {},
        strings: {},
      },
    ],
    initializers: [
      initializer('codes', 'UINT8', [q, count, (size * bits) / 8], 0),
      initializer('scales', 'FLOAT', [q * count], 1),
      ...(zeros ? [initializer('zeros', 'UINT8', [zeros.length], 2)] : []),
    ],
  }
  await writeFile(join(folder, 'm.onnx'), encodeModel(graph))
  return InferenceSession.create(join(folder, 'm.onnx'), { executionProviders: [provider] })
}

const shapes = [
  [24, 64, 16],
  [8, 96, 32],
  [12, 172, 32],
  [12, 28, 32],
  [20, 128, -1],
  [20, 48, -1],
  [8, 172, -1],
  [8, 256, 128],
] as const

describe.each([2, 3, 4, 8] as const)('%d bits', (bits) => {
  it.each(shapes)('[%d, %d] in groups of %d are what onnxruntime computes with', async (q, p, groupSize) => {
    for (const symmetric of [true, false]) {
      const { solved, weights } = randomLinear(q, p, bits, groupSize, symmetric)
      const x = Float32Array.from({ length: 3 * p }, (_, i) => Math.sin(i + 1))
      for (const provider of (process.env.EP ?? 'cpu').split(',') as ('cpu' | 'webgpu')[]) {
        const run = await session(solved, { groupSize, symmetric }, provider)
        const { y } = await run.run({ x: new Tensor('float32', x, [3, p]) })
        const expected = Float64Array.from({ length: 3 * q }, (_, i) => {
          const [m, n] = [Math.floor(i / q), i % q]
          let sum = 0
          for (let k = 0; k < p; k++) sum += x[m * p + k] * weights[n * p + k]
          return sum
        })
        const most = Math.max(...expected.map(Math.abs))
        const worst = Math.max(...expected.map((value, i) => Math.abs(value - (y.data[i] as number))))
        expect(worst / most, `${provider}, symmetric ${symmetric}`).toBeLessThan(2e-6)
        await run.release()
      }
    }
  })
})
