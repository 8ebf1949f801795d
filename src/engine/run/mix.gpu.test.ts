/** Mixtures of widths within a budget: filled, never exceeded, the same for the same seed, and refused with what would work. */
import { beforeAll, expect, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import type { Job } from '../job/job.ts'
import type { Mix } from '../job/mix.ts'
import { bitsPerWeight } from '../job/result.ts'
import { planJob } from '../plan/check.ts'
import { checkpointBytes, plannedBits } from '../plan/plan.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'
import { chooseMix, Mixer, widthsOf } from './mix.ts'

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), await testTexts())
  await session.open(await tinyFiles(undefined, { ...tinyConfig, ...{ intermediate_size: 64, eos_token_id: 0 } }), 'tiny')
})

const job: Job = smallJob([{ id: 'one', label: 'One', method: 'rtn', options: { groupSize: 32 } }], {
  calibration: { text: 'demo-calibration', samples: 3, length: 64, sampling: 'consecutive', heldOut: 1 / 3 },
  evaluation: { text: 'demo-evaluation', samples: 2, length: 64 },
})

const planOf = async ({ overrides }: Mix) => (await planJob({ ...job, runs: [{ ...job.runs[0], overrides }] }, session)).runs[0]

test('bits per weight are filled up to less than one step, fused linears alike', async () => {
  const mix = await chooseMix(job, { bitsPerWeight: 3.4 }, memoryHost(session).host)
  const run = await planOf(mix)
  expect(mix.size).toBe(bitsPerWeight(plannedBits(run, session.model)))
  expect(mix.size).toBeLessThanOrEqual(3.4)
  expect(mix.bound).toBe(mix.predicted)
  // One bit more for the smallest set of linears, q, k and v: [64, 32] of 20,480 weights, with its zero points.
  const weights = 2 * (32 * 32 * 2 + 16 * 32 * 2 + 3 * 64 * 32)
  const step = (33 / 32) * Math.min(32 * 32, 64 * 32)
  expect((3.4 - mix.size) * weights).toBeLessThan(step)
  expect(mix.parts.map(({ linears }) => linears.length)).toEqual([3, 1, 2, 1, 3, 1, 2, 1])
  for (const { linears, options, errors, price } of mix.parts) {
    expect(errors.map((one) => one.options)).toEqual([{ bits: 2 }, { bits: 3 }, { bits: 4 }, { bits: 8 }])
    for (const [i, { error }] of errors.entries()) if (i) expect(error).toBeLessThan(errors[i - 1].error)
    expect(price).toBeGreaterThan(0)
    for (const name of linears) {
      const [, k, own] = /layers\.(\d)\.(.*)/.exec(name)!
      expect(run.linears[Number(k)].get(own)!.grid.bits).toBe(options.bits)
    }
  }
  expect(mix.uniform.map(({ options }) => options)).toEqual([{ bits: 2 }, { bits: 3 }])
  expect(await chooseMix(job, { bitsPerWeight: 3.4 }, memoryHost(session).host)).toEqual(mix)
})

test('blocks that stay as they are count in the bits per weight, as linears do that an override keeps', async () => {
  const first: Job = { ...job, runs: [{ ...job.runs[0], options: { ...job.runs[0].options, blocks: 1 } }] }
  const kept: Job = { ...job, runs: [{ ...job.runs[0], overrides: [{ pattern: 'layers.1' }] }] }
  const sizes = await Promise.all(
    [first, kept].map(async (asked) => bitsPerWeight(plannedBits((await planJob(asked, session)).runs[0], session.model))),
  )
  // Two blocks alike, one of them in F32.
  expect(sizes[0]).toBe(sizes[1])
  expect(sizes[0]).toBeCloseTo((32 + 3 + 19 / 32) / 2, 9)
  const mix = await chooseMix(first, { bitsPerWeight: 17.5 }, memoryHost(session).host)
  expect(mix.size).toBeLessThanOrEqual(17.5)
  expect(mix.size).toBeGreaterThan(17.3)
})

test('one probe fills any budget, and says what uniform widths would come to', async () => {
  const mixer = await Mixer.probe(job, { bitsPerWeight: 3.4 }, memoryHost(session).host)
  const sizes = await widthsOf(job, session)
  expect(sizes.bitsPerWeight.map(({ options }) => options)).toEqual([{ bits: 2 }, { bits: 3 }, { bits: 4 }, { bits: 8 }])
  const mixes = [2.7, 3.4, 5].map((bitsPerWeight) => mixer.fill({ bitsPerWeight }))
  for (const [i, { budget, size, predicted, foreseen }] of mixes.entries()) {
    expect(size).toBeLessThanOrEqual(budget.bitsPerWeight!)
    if (i) expect(predicted).toBeLessThan(mixes[i - 1].predicted)
    // No mixture is worse than the uniform width within it.
    const within = sizes.bitsPerWeight.flatMap(({ size: uniform }, w) => (uniform <= budget.bitsPerWeight! ? [foreseen[w].kl] : []))
    expect(predicted).toBeLessThanOrEqual(Math.min(...within))
  }
  expect(mixer.fill({ bytes: sizes.bytes[1].size }).size).toBeLessThanOrEqual(sizes.bytes[1].size)
})

test('the smallest width can be asked for as it is', async () => {
  const [least] = (await widthsOf(job, session)).bitsPerWeight
  const mix = await chooseMix(job, { bitsPerWeight: least.size }, memoryHost(session).host)
  expect(mix.parts.every(({ options }) => options.bits === least.options.bits)).toBe(true)
})

test('only types that have bits of their own are widths', async () => {
  const of = async (kind: string) => (await widthsOf({ ...job, runs: [{ ...job.runs[0], options: { kind } }] }, session)).bitsPerWeight
  const types = (await of('q4_0')).map(({ options }) => options.kind)
  expect(types).toContain('mxfp4')
  expect(types).not.toContain('affine')
  expect((await of('affine')).map(({ options }) => options)).toEqual([{ bits: 2 }, { bits: 3 }, { bits: 4 }])
})

test('types of GGUF are mixed, with embedding and head as the run has them', async () => {
  const typed = { ...job, runs: [{ ...job.runs[0], options: { kind: 'q4_0' } }] }
  const mix = await chooseMix(typed, { bitsPerWeight: 7.3 }, memoryHost(session).host)
  const run = (await planJob({ ...typed, runs: [{ ...typed.runs[0], overrides: mix.overrides }] }, session)).runs[0]
  expect(mix.size).toBe(bitsPerWeight(plannedBits(run, session.model)))
  expect(mix.size).toBeLessThanOrEqual(7.3)
  // One tensor of 1,024 rows of 32, the same in all of them: what llama.cpp gives it in a file of Q4_0.
  expect(run.ends.map(({ use, options }) => [use, options.kind])).toEqual([['both', 'q8_0']])
  expect(mix.ends).toEqual({ embeddingType: 'q8_0', headType: 'q8_0' })
  expect(new Set(mix.parts.map(({ options }) => options.kind)).size).toBeGreaterThan(1)
})

test('a file is filled', async () => {
  const asked = { ...job, formats: ['compressed-tensors'] }
  const whole = (await planJob(asked, session)).runs[0]
  const bytes = checkpointBytes(whole, whole.formats[0], session.model) + 300
  const mix = await chooseMix(asked, { bytes }, memoryHost(session).host)
  const run = (await planJob({ ...asked, runs: [{ ...job.runs[0], overrides: mix.overrides }] }, session)).runs[0]
  expect(mix.size).toBe(checkpointBytes(run, run.formats[0], session.model))
  expect(mix.size).toBeLessThanOrEqual(bytes)
  // Codes of one bit more for the smallest linear, and what its names take in the head.
  expect(bytes - mix.size).toBeLessThan((33 / 256) * 32 * 32 + 512)
})

test('a budget below the smallest mixture is refused, one above the largest takes that', async () => {
  await expect(chooseMix(job, { bitsPerWeight: 1.5 }, memoryHost(session).host)).rejects.toMatchObject({
    code: 'option-invalid',
    message: expect.stringContaining('1.5 bits per weight is less than the smallest mixture of tiny takes'),
    hint: 'Ask for 2.57 bits per weight or more.',
  })
  const { bitsPerWeight: sizes } = await widthsOf(job, session)
  const mix = await chooseMix(job, { bitsPerWeight: 9 }, memoryHost(session).host)
  expect(mix).toMatchObject({ largest: true, size: sizes.at(-1)!.size, uniform: [{ options: { bits: 8 } }] })
  expect(mix.parts.every(({ options }) => options.bits === 8)).toBe(true)
})

test('sums that wait on the host are brought back for the probe', async () => {
  const { host } = memoryHost(session)
  const whole = await chooseMix(job, { bitsPerWeight: 3.4 }, host)
  const gpu = await session.gpu()
  Object.defineProperty(gpu, 'memoryBudget', { value: 1, configurable: true })
  expect(await chooseMix(job, { bitsPerWeight: 3.4 }, memoryHost(session).host)).toEqual(whole)
  Reflect.deleteProperty(gpu, 'memoryBudget')
})
