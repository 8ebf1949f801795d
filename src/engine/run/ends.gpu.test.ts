/** Embedding and head in types of GGUF: solved with what they see, stored as they were measured, one tensor where they are tied. */
import { beforeAll, expect, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { readHead, tensorTypes } from '../../io/formats/gguf/file.ts'
import { memoryFiles } from '../../io/memory.ts'
import type { Options } from '../../options.ts'
import type { Job } from '../job/job.ts'
import { bitsPerWeight } from '../job/result.ts'
import { examine } from '../plan/check.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'
import { runJob } from './run.ts'

// A vocabulary that nothing divides.
const config = { ...tinyConfig, intermediate_size: 32, num_hidden_layers: 1, vocab_size: 1021, eos_token_id: 0 }
/** Rows of one super-block. */
const WIDE = 256

let session: Session
const open = async (tied: boolean, width = 32) =>
  session.open(await tinyFiles(undefined, { ...config, hidden_size: width, tie_word_embeddings: tied }), 'tiny')
beforeAll(() => {
  session = new Session(testSource(), testTexts())
})

const jobOf = (method: string, options: Options, save = true): Job =>
  smallJob([{ id: 'one', label: 'One', method, options }], {
    save,
    ...(save && { formats: ['gguf', 'dense'] }),
    calibration: { text: 'demo-calibration', samples: 3, length: 64, sampling: 'consecutive', heldOut: 1 / 3 },
    evaluation: { text: 'demo-evaluation', samples: 2, length: 64 },
  })

async function ran(job: Job) {
  const { host, sinks } = memoryHost(session)
  const [result] = (await runJob(job, host)).runs
  expect(result.error ?? result.exportError).toBeUndefined()
  return { result, files: sinks.get('one')?.files ?? new Map<string, Uint8Array<ArrayBuffer>>() }
}

/** Types of the two tensors in the GGUF file of a run; undefined for one that is not there. */
async function typesIn(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>) {
  const [path, bytes] = [...files].find(([name]) => name.endsWith('.gguf'))!
  const { tensors } = await readHead(new Blob([bytes]), path)
  const names = Object.entries(tensorTypes).map(([name, { id }]) => [id, name] as const)
  return ['token_embd.weight', 'output.weight'].map((name) => tensors.has(name) && new Map(names).get(tensors.get(name)!.type as never))
}

/** Perplexity of the plain weights that a run wrote. */
async function measuredAgain(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, job: Job): Promise<number> {
  const plain = [...files].filter(([name]) => name.startsWith('dense/')).map(([name, bytes]) => [name.slice(6), bytes] as const)
  await session.open(memoryFiles(plain))
  return (await runJob({ ...job, runs: [], save: false }, memoryHost(session).host)).fpPerplexity!
}

test('apart: each in its type, counted, and measured as stored', async () => {
  await open(false, WIDE)
  const job = jobOf('gptq', { kind: 'q4_k' })
  const { result, files } = await ran(job)
  const [embedding, head] = result.ends!
  expect([embedding, head].map(({ use, type, name }) => [use, type, name])).toEqual([
    ['embedding', 'Q4_K', 'model.embed_tokens'],
    ['head', 'Q6_K', 'lm_head'],
  ])
  expect(await typesIn(files)).toEqual(['Q4_K', 'Q6_K'])
  // Numbers between −1 and 1, rounded to sixteen levels over the range of 32 of them.
  expect(embedding.tableError!).toBeLessThan(((2 / 15) ** 2 / 12) * 3)
  expect(head.relativeError).toBeGreaterThan(0)
  expect(head.heldOutError!).toBeGreaterThan(head.relativeError)
  expect(result.bitsPerWeight).toBe(bitsPerWeight([...result.layers, embedding, head]))
  expect(bitsPerWeight([embedding])).toBe(4.5)
  expect(bitsPerWeight([head])).toBe(6.5625)
  const { plan } = await examine(job, session)
  expect(plan!.check.runs[0].bitsPerWeight).toBe(result.bitsPerWeight)
  // The head by what it sees is better than to the nearest.
  const nearest = (await ran(jobOf('rtn', { kind: 'q4_k', headType: 'q6_k', embeddingType: 'full' }, false))).result.ends!
  expect(nearest.map(({ use }) => use)).toEqual(['head'])
  expect(head.relativeError).toBeLessThan(0.8 * nearest[0].relativeError)
  expect(await measuredAgain(files, job)).toBeClose(result.perplexity!, { relative: 1e-5 })
})

test('tied: one tensor for both', async () => {
  await open(true)
  const job = jobOf('gptq', { kind: 'q5_0', embeddingType: 'q4_0' })
  const { result, files } = await ran(job)
  expect(result.ends!.map(({ use, type, name }) => [use, type, name])).toEqual([['both', 'Q4_0', 'model.embed_tokens']])
  expect(await typesIn(files)).toEqual(['Q4_0', false])
  const [{ relativeError, tableError, aim }] = result.ends!
  expect(aim!.damping).toBeGreaterThan(0)
  expect(Math.max(relativeError, tableError!)).toBeLessThan(0.02)
  expect(await measuredAgain(files, job)).toBeClose(result.perplexity!, { relative: 1e-5 })
})

test('a job that is stopped after its head goes on with the same weights', async () => {
  await open(false)
  const job = jobOf('gptq', { bits: 4, groupSize: 32, symmetric: true, embeddingType: 'q8_0', headType: 'q4_0' })
  const whole = (await ran(job)).result
  const { host, control, journal } = memoryHost(session, (event, mine) => {
    if (event.type === 'stage' && event.stage === 'evaluate') mine.cancel()
  })
  expect((await runJob(job, host)).runs[0].state).toBe('cancelled')
  expect(control.cancelled).toBe(true)
  const again = memoryHost(session)
  const [{ kl, ends }] = (await runJob(job, { ...again.host, journal }, { resume: true })).runs
  expect(kl).toBe(whole.kl)
  expect(ends!.map(({ seconds: _, ...rest }) => rest)).toEqual(whole.ends!.map(({ seconds: _, ...rest }) => rest))
})

test('what cannot be is refused by name, and other formats say what they hold', async () => {
  await open(true)
  const refusals = async (method: string, options: Options, formats: string[]) => {
    const { check } = await examine({ ...jobOf(method, options), formats }, session)
    return check.problems.filter(({ severity }) => severity === 'error').map(({ message }) => message)
  }
  expect(await refusals('rtn', { embeddingType: 'q4_k', headType: 'full' }, ['dense'])).toEqual([
    'The head of tiny is its embedding, one tensor, which cannot be Q4_K and in full precision.',
  ])
  expect(await refusals('awq', { headType: 'q4_k' }, ['dense'])).toEqual([expect.stringContaining('AWQ does not know the types of GGUF')])
  expect(await refusals('quantease', { headType: 'q4_k', outlier: 0.01 }, ['dense'])).toEqual([expect.stringContaining('without outliers')])
  for (const format of ['gptq', 'compressed-tensors', 'sidecar'])
    expect(await refusals('rtn', { bits: 4, groupSize: 32, symmetric: true, headType: 'q8_0' }, [format])).toEqual([
      expect.stringMatching(/embedding and head in full precision, and this run rounds model.embed_tokens/),
    ])
  expect(await refusals('rtn', { bits: 4, groupSize: 32, symmetric: true, headType: 'q8_0' }, ['mlx'])).toEqual([])
  expect(await refusals('rtn', { bits: 4, groupSize: 32, headType: 'iq4_nl' }, ['mlx'])).toEqual([
    expect.stringMatching(/Q4_0 to Q8_0 only, not IQ4_NL/),
  ])
  // What others hold too stays whole there.
  expect(await refusals('rtn', { kind: 'mxfp4' }, ['compressed-tensors'])).toEqual([])
})
