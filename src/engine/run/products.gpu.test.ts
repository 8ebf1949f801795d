/** Evaluation with inputs in f16: where it is used, what it leaves alone, and when it is not. */
import { beforeAll, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import type { Job } from '../job/job.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyFiles } from '../testing.ts'
import { runJob } from './run.ts'

const session = new Session(testSource(), testTexts())
beforeAll(async () => {
  // Kernels need nothing of the feature that it is offered by.
  ;(await session.gpu()).info.f16 = true
})

const evaluation = { text: 'demo-evaluation', samples: 4, length: 64 }
const jobOf = (products: 'f32' | 'f16'): Job =>
  smallJob([{ id: 'a', label: 'a', method: 'rtn', options: { bits: 3 } }], { evaluation: { ...evaluation, products } })

it('is used where it makes no difference, and leaves calibration and solvers as they are', async () => {
  await session.open(await tinyFiles(), 'tiny')
  const [f32, f16] = [await runJob(jobOf('f32'), memoryHost(session).host), await runJob(jobOf('f16'), memoryHost(session).host)]
  expect(f32.products).toBeUndefined()
  expect(f16.products).toMatchObject({ used: 'f16', tokens: 256 })
  expect(f16.products!.kl).toBeGreaterThan(0)
  expect(f16.products!.kl).toBeLessThan(1e-5)
  // Bit for bit.
  const errors = f32.runs[0].layers.map(({ relativeError }) => relativeError)
  expect(f16.runs[0].layers.map(({ relativeError }) => relativeError)).toEqual(errors)
  // Some other way of computing, though not another figure: with a KL of 1e-5, losses of tokens differ by √(2 · 1e-5), their mean by √252 less.
  expect(f16.fpPerplexity).not.toBe(f32.fpPerplexity)
  expect(Math.abs(f16.fpPerplexity! / f32.fpPerplexity! - 1)).toBeLessThan((4 * Math.sqrt(2e-5)) / Math.sqrt(252))
  expect(Math.abs(f16.runs[0].kl! / f32.runs[0].kl! - 1)).toBeLessThan(1e-2)
})

it('is left where the model as it is comes out otherwise, and that is said', async () => {
  // Logits so large that the rounding of states decides between tokens.
  const files = await tinyFiles((tensors) => tensors.get('model.norm.weight')!.data.fill(40))
  await session.open(files, 'steep')
  const { host, events } = memoryHost(session)
  const steep = await runJob({ ...jobOf('f16'), runs: [] }, host)
  expect(steep.products!.used).toBe('f32')
  expect(steep.products!.kl).toBeGreaterThan(1e-5)
  const warnings = events
    .flatMap((event) => (event.type === 'notice' ? [event.problem] : []))
    .filter(({ severity }) => severity === 'warning')
  expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('stays in f32')])
  const plain = await runJob({ ...jobOf('f32'), runs: [] }, memoryHost(session).host)
  expect(steep.fpPerplexity).toBe(plain.fpPerplexity)
})

it('an interrupted job does not go on with the other', async () => {
  await session.open(await tinyFiles(), 'tiny')
  const { host } = memoryHost(session, ({ type }, control) => type === 'layer' && control.cancel())
  await runJob(jobOf('f16'), host)
  const again = memoryHost(session).host
  await expect(runJob(jobOf('f32'), { ...again, journal: host.journal }, { resume: true })).rejects.toThrow('options differ')
  const { products, runs } = await runJob(jobOf('f16'), { ...again, journal: host.journal }, { resume: true })
  expect([products?.used, runs[0].state]).toEqual(['f16', 'finished'])
})

it('is refused by a device without 16-bit floats', async () => {
  const { info } = await session.gpu()
  info.f16 = false
  await session.open(await tinyFiles(), 'tiny')
  await expect(runJob(jobOf('f16'), memoryHost(session).host)).rejects.toThrow('no 16-bit floats')
  info.f16 = true
})
