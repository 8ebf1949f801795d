/** Formats as a choice: several at once, refused ones, others later, and one that is added in a file and a line. */
import { describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import type { SinkFile } from '../../io/bytes.ts'
import { openFolder } from '../../io/folder.ts'
import { dense } from '../../io/formats/dense.ts'
import { gptq } from '../../io/formats/gptq.ts'
import { formats, type ExportFormat } from '../../io/formats/index.ts'
import { memoryFiles } from '../../io/memory.ts'
import type { Job } from '../job/job.ts'
import { examine } from '../plan/check.ts'
import { readJournal } from './journal-summary.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'

const session = new Session(testSource(), testTexts())
await session.open(await tinyFiles(undefined, { ...tinyConfig, ...{ torch_dtype: 'bfloat16' } }))

const rtn = { id: 'one', label: 'RTN', method: 'rtn', options: { bits: 4, groupSize: 32 } }
const sparse = { id: 'two', label: 'Sparse', method: 'quantease', options: { bits: 3, iterations: 1, outlier: 0.02 } }
const job = (changes: Partial<Job>, runs: Job['runs'] = [rtn]) => smallJob(runs, { save: true, ...changes })

/** A finished job's results, its files by folder, and what it did. */
async function made(asked: Job, before?: ReturnType<typeof memoryHost>, on = session) {
  const own = memoryHost(on)
  const host = before ? { ...own.host, journal: before.journal } : own.host
  const report = await runJob(asked, host, { resume: before !== undefined })
  expect(report.runs.map(({ error, exportError }) => error ?? exportError)).toEqual(asked.runs.map(() => undefined))
  const files = own.sinks.get(asked.runs[0].id)!.files
  const folder = (name: string) =>
    memoryFiles([...files].filter(([path]) => path.startsWith(name)).map(([path, bytes]) => [path.slice(name.length), bytes]))
  return { ...own, journal: host.journal as typeof own.journal, report, files, folder }
}

/** Plain weights of a linear in a folder, as float32 words. */
async function weightsOf(files: ReturnType<typeof memoryFiles>, name: string) {
  const { checkpoint } = await openFolder(files)
  expect(checkpoint.tensors.get(name)!.dtype).toBe('BF16')
  return Float32Array.from(new Uint16Array((await checkpoint.read(name)).buffer), (word) => word)
}

const linear = 'model.layers.1.self_attn.o_proj'

describe('a job', () => {
  it('is written in several formats, a folder each, and says what each holds', async () => {
    const alone = await made(job({}))
    const both = await made(job({ formats: ['dense', 'gptq'] }))
    const { checkpoints, files, bytes } = both.report.runs[0].export!
    expect(checkpoints.map(({ format, folder }) => [format, folder])).toEqual([
      ['gptq', 'gptq/'],
      ['dense', 'dense/'],
    ])
    expect(files.map(({ path }) => path).sort()).toEqual([...both.files.keys()].sort())
    expect(bytes).toBe([...both.files.values()].reduce((sum, { length }) => sum + length, 0))
    // The first is the one that is measured, bit for bit as if it were alone.
    expect(both.report.runs[0].perplexity).toBe(alone.report.runs[0].perplexity)
    for (const [path, content] of alone.files) expect(both.files.get(`gptq/${path}`), path).toEqual(content)
    const notices = both.events.flatMap((event) => (event.type === 'job-start' ? event.notices.map(({ message }) => message) : []))
    expect(notices).toContainEqual(expect.stringMatching(/measured with the weights of GPTQ.*Plain weights.*bfloat16/))
    expect((await openFolder(both.folder('gptq/'))).packing).toMatchObject({ bits: 4, groupSize: 32 })
    expect((await openFolder(both.folder('dense/'))).packing).toBeNull()
  })

  it('is written in the formats of each run, with the sizes, clients and room that were foreseen', async () => {
    const four = { ...rtn, id: 'two', label: 'Dense', formats: ['dense'] }
    const asked = job({ keepSolved: true }, [{ ...rtn, formats: ['gptq'] }, four])
    const { check } = await examine(asked, session)
    expect(check.runs.map(({ formats }) => formats.map(({ written }) => written))).toEqual(
      [gptq, dense].map((one) => formats.map(({ id }) => id === one.id)),
    )
    const { report, journal } = await made(asked)
    for (const [i, run] of report.runs.entries()) {
      const planned = check.runs[i].formats.find(({ written }) => written)!
      const { files, checkpoints } = run.export!
      expect(checkpoints).toEqual([{ format: planned.id, folder: '', loadsIn: planned.loadsIn }])
      for (const { runtime, loads, command = '' } of planned.loadsIn)
        expect(command.includes('{folder}'), runtime).toBe(loads && runtime !== 'QuantEase Workbench')
      const weights = files.filter(({ path }) => path.endsWith('.safetensors')).reduce((sum, { bytes }) => sum + bytes, 0)
      expect([planned.bytes, check.runs[i].weightBytes, run.weightBytes]).toEqual([weights, weights, weights])
    }
    const kept = (await readJournal(journal, false))!
    const foreseen = check.runs.reduce((sum, { solvedBytes }) => sum + solvedBytes, 0)
    const heads = kept.bytes - report.runs.reduce((sum, run) => sum + run.export!.bytes, 0) - foreseen
    expect(heads).toBeGreaterThan(0)
    expect(heads).toBeLessThan(2500 * report.runs.length * report.linears.length)
  })

  it.each([
    ['asymmetric', { bits: 4, groupSize: 32 }, ['gptq', 'compressed-tensors', 'awq']],
    ['partly quantized', { bits: 4, groupSize: 32, symmetric: true, blocks: 1 }, ['gptq', 'compressed-tensors', 'awq']],
    ['3 bits a full row', { bits: 3 }, ['gptq', 'compressed-tensors']],
  ])('is opened again from each packed format, and measures the same: %s', async (_, options, ids) => {
    const even = new Session(testSource(), testTexts())
    await even.open(await tinyFiles(undefined, { ...tinyConfig, intermediate_size: 64 }))
    const { folder, report } = await made(job({ formats: ids }, [{ ...rtn, options }]), undefined, even)
    for (const id of ids) {
      const again = new Session(testSource(), testTexts())
      await again.open(folder(`${id}/`))
      expect(again.model.folder.packing, id).toMatchObject({ bits: options.bits })
      const { fpPerplexity } = await runJob(job({ save: false }, []), memoryHost(again).host)
      // The codes and scales are the same; only sums of the forward pass may differ in their last bits.
      expect(Math.abs(fpPerplexity! / report.runs[0].perplexity! - 1), id).toBeLessThan(1e-5)
    }
  })

  it('is told before it starts which formats cannot hold it, and what would', async () => {
    const { check } = await examine(job({ formats: ['gptq'] }, [rtn, sparse]), session)
    expect(check.problems.filter(({ severity }) => severity === 'error')).toEqual([
      {
        severity: 'error',
        code: 'option-invalid',
        field: 'formats.gptq',
        message: 'GPTQ cannot store the result of Sparse as it is planned: GPTQ files cannot store outliers beside the codes.',
        hint: 'Choose an algorithm without outliers, or the format “Plain weights” (dense) or “Codes and outliers” (sidecar).',
      },
    ])
    const known = check.runs.map((run) => run.formats.filter(({ id }) => id === 'gptq' || id === 'dense'))
    expect(known.map((some) => some.map(({ id, refusal }) => [id, refusal === null]))).toEqual([
      [
        ['gptq', true],
        ['dense', true],
      ],
      [
        ['gptq', false],
        ['dense', true],
      ],
    ])
    const unknown = await examine(job({ formats: ['gguf2'] }), session)
    expect(unknown.check.problems.find(({ field }) => field === 'formats')).toMatchObject({ message: 'There is no format "gguf2".' })
    expect(unknown.plan).toBeNull()
  })
})

describe('a finished job', () => {
  it('is written in other formats without solving, if it keeps what it solved', async () => {
    const first = await made(job({ keepSolved: true }))
    const later = await made(job({ keepSolved: true, formats: ['dense'] }), first)
    const stages = new Set(later.events.flatMap((event) => (event.type === 'stage' ? [event.stage] : [])))
    expect([...stages]).toEqual(['write'])
    const notices = later.events.flatMap((event) => (event.type === 'job-start' ? event.notices.map(({ message }) => message) : []))
    expect(notices).toContainEqual(
      expect.stringMatching(/measured with the weights of GPTQ, stored exactly; those of Plain weights are rounded/),
    )
    const [{ export: again, ...figures }] = later.report.runs
    expect(again!.checkpoints.map(({ format }) => format)).toEqual(['dense'])
    const [{ export: _, seconds: __, ...before }] = first.report.runs
    expect(figures).toMatchObject(before)
    // Dense weights are what the codes stand for.
    const { checkpoint, packing } = await openFolder(first.folder(''))
    const packed = await packing!.read(checkpoint, linear, { q: 32, p: 32 })
    const nibble = (k: number, n: number) => (packed.codes[(k >> 3) * 32 + n] >>> (4 * (k & 7))) & 15
    const words = new Uint32Array(1)
    const bf16 = (value: number) => {
      new Float32Array(words.buffer)[0] = value
      return (words[0] + 0x7fff + ((words[0] >>> 16) & 1)) >>> 16
    }
    const expected = Float32Array.from({ length: 1024 }, (_, i) => {
      const [n, k] = [i >> 5, i & 31]
      return bf16(packed.grid[2 * n] * (nibble(k, n) - packed.grid[2 * n + 1]))
    })
    expect(await weightsOf(later.folder(''), `${linear}.weight`)).toEqual(expected)
    // And once more in both.
    const both = await made(job({ keepSolved: true, formats: ['gptq', 'dense'] }), later)
    for (const [path, content] of first.files) expect(both.files.get(`gptq/${path}`), path).toEqual(content)
    for (const [path, content] of later.files) expect(both.files.get(`dense/${path}`), path).toEqual(content)
  })

  it('is written again when what was written is no longer whole', async () => {
    const first = await made(job({ keepSolved: true }))
    const { host, sinks } = memoryHost(session)
    const [run] = (await runJob(job({ keepSolved: true }), { ...host, journal: first.journal }, { resume: true, rewrite: true })).runs
    expect(run.export?.bytes).toBe(first.report.runs[0].export!.bytes)
    expect([...sinks.keys()]).toEqual([run.run])
    const { host: idle, sinks: none } = memoryHost(session)
    await runJob(job({ keepSolved: true }), { ...idle, journal: first.journal }, { resume: true })
    expect(none.size).toBe(0)
  })

  it('keeps its figures where writing it again is cancelled, says that there is no checkpoint, and writes it later', async () => {
    const first = await made(job({ keepSolved: true }))
    const { host } = memoryHost(session)
    const interrupted = {
      ...host,
      journal: first.journal,
      sink: async () => {
        host.control.cancel()
        return host.sink(rtn.id)
      },
    }
    const [run] = (await runJob(job({ keepSolved: true, formats: ['dense'] }), interrupted, { resume: true })).runs
    expect(run).toMatchObject({ state: 'finished', perplexity: first.report.runs[0].perplexity, export: null })
    expect(run.exportError).toBeDefined()
    expect((await readJournal(first.journal, false))!.results[0]).toMatchObject({ export: null, exportError: { code: 'cancelled' } })
    const later = await made(job({ keepSolved: true }), first)
    for (const [path, content] of first.files) expect(later.files.get(path), path).toEqual(content)
  })

  it('says so when what it solved was given up', async () => {
    const first = await made(job({}))
    const { host } = memoryHost(session)
    const again = runJob(job({ formats: ['dense'] }), { ...host, journal: first.journal }, { resume: true })
    await expect(again).rejects.toMatchObject({ code: 'journal-mismatch', message: expect.stringContaining('RTN is finished') })
  })
})

describe('a format of one file', () => {
  /** The scales of all linears in one file, one after the other. */
  const toy: ExportFormat = {
    id: 'toy',
    label: 'Scales',
    summary: 'Scales alone.',
    stores: 'codes',
    accepts: ({ settings }) => (settings.bits === 4 ? null : { why: 'It knows 4 bits only.', instead: 'Choose 4 bits.' }),
    rounds: () => null,
    declares: () => 'float16',
    bytes: ({ linears }) => linears.reduce((sum, { q, groups }) => sum + 4 * q * groups, 0),
    remarks: () => [],
    compatibility: () => [{ runtime: 'This test', loads: true, note: 'Yes.' }],
    write(plan, _model, sink) {
      const size = toy.bytes(plan)
      let file: SinkFile
      let at = 0
      return {
        copy: async () => {
          file = await sink.create('scales.bin', size)
        },
        async linear(_, { grid }) {
          const scales = grid.filter((_, i) => !(i & 1))
          await file.write(new Uint8Array(scales.buffer), at)
          at += scales.byteLength
        },
        vector: async () => {},
        async finish() {
          await file.close()
          return [{ path: 'scales.bin', bytes: size }]
        },
        async verify() {
          expect((await sink.open('scales.bin')).size).toBe(at)
        },
      }
    },
  }

  it('is one line in the list, and is planned, written, read back and told like any other', async () => {
    const list = formats as ExportFormat[]
    list.push(toy)
    try {
      const three = { ...rtn, options: { bits: 3 } }
      const { check } = await examine(job({ formats: ['toy'] }, [three]), session)
      expect(check.problems.find(({ field }) => field === 'formats.toy')).toMatchObject({ hint: 'Choose 4 bits.' })
      const { report, files } = await made(job({ formats: ['toy'] }))
      const names = ['scales.bin', 'README.md', 'quantization_report.json']
      expect(report.runs[0].export).toEqual({
        files: names.map((path) => ({ path, bytes: files.get(path)!.length })),
        bytes: names.reduce((sum, path) => sum + files.get(path)!.length, 0),
        checkpoints: [{ format: 'toy', folder: '', loadsIn: [{ runtime: 'This test', loads: true, note: 'Yes.' }] }],
      })
      expect(session.catalog.formats.map(({ id }) => id)).toContain('toy')
    } finally {
      list.pop()
    }
  })
})
