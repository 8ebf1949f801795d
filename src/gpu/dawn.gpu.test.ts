import { expect, it } from 'vitest'
import { matmul } from './ops.ts'
import { testGpu } from './testing.ts'

it('leaves the processor alone while the GPU computes', async () => {
  const gpu = await testGpu()
  const n = 512
  const x = gpu.upload(new Float32Array(n * n).fill(1), [n, n])
  await gpu.sync()
  let waiting = true
  let turns = 0
  const turn = () => {
    turns++
    if (waiting) setImmediate(turn)
  }
  turn()
  const start = performance.now()
  for (let i = 0; i < 4; i++) matmul(gpu, x, x).dispose()
  await gpu.sync()
  waiting = false
  const elapsed = performance.now() - start
  // Without a rest the event loop turns about a hundred times in a millisecond; the first rests are short.
  expect(turns).toBeLessThan(100 + 5 * elapsed)
  x.dispose()
})
