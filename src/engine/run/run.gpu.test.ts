import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { WorkbenchError } from '../../errors.ts'
import { testSource } from '../../gpu/testing.ts'
import { memoryFiles } from '../../io/memory.ts'
import { examine } from '../plan/check.ts'
import { oversized } from '../plan/remarks.ts'
import type { Options } from '../../options.ts'
import type { RunEvent } from '../job/events.ts'
import type { Job } from '../job/job.ts'
import type { RunResult } from '../job/result.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob, testDemo, testTexts, tinyConfig, tinyFiles } from '../testing.ts'

const of = <T extends RunEvent['type']>(events: RunEvent[], type: T) =>
  events.filter((event) => event.type === type) as Extract<RunEvent, { type: T }>[]

let session: Session
beforeAll(() => {
  session = new Session(testSource(), [...testTexts(), memoryText('short', 'Only a few words.'), memoryText('blank', ' \n')])
})

const run = (id: string, method: string, options: Job['runs'][0]['options']) => ({ id, label: id, method, options })

/** Opens what a run wrote and measures it on the same evaluation text. */
async function measureAgain(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, job: Job) {
  const summary = await session.open(memoryFiles(files))
  const { host } = memoryHost(session)
  const report = await runJob({ ...job, runs: [], save: false }, host)
  return { summary, perplexity: report.fpPerplexity! }
}

/** Bytes of what says how a checkpoint was made: its size is no part of the plan. */
const told = ({ export: made }: RunResult) =>
  made!.files
    .filter(({ path }) => /(config|quantization_report)\.json$|README\.md$/.test(path) && path !== 'generation_config.json')
    .reduce((sum, { bytes }) => sum + bytes, 0)

describe('a job over the demo model', () => {
  it('measures, quantizes, writes a checkpoint, and the checkpoint measures the same', async () => {
    await session.open(await testDemo(), 'demo')
    const { host, events, sinks } = memoryHost(session)
    const job = smallJob([run('a', 'rtn', { bits: 2 }), run('b', 'quantease', { bits: 2, iterations: 10, trueSequential: true })], {
      save: true,
      perplexityEvery: 2,
      calibration: { text: 'demo-calibration', samples: 16, length: 64, sampling: 'random' },
    })
    const report = await runJob(job, host)
    expect(report.fpPerplexity).toBeGreaterThan(1.5)
    expect(report.fpPerplexity).toBeLessThan(3)
    const [rtn, ease] = report.runs
    expect([rtn.state, ease.state]).toEqual(['finished', 'finished'])
    expect([rtn.exportError, ease.exportError]).toEqual([undefined, undefined])
    expect(rtn.layers.length).toBe(28)
    expect(ease.meanRelativeError!).toBeLessThan(rtn.meanRelativeError!)
    expect(ease.perplexity!).toBeGreaterThan(report.fpPerplexity!)
    expect(ease.perplexityError!).toBeGreaterThan(0)
    expect(ease.kl!).toBeGreaterThan(0)
    expect(ease.top1!).toBeGreaterThan(0.5)
    expect(ease.top1!).toBeLessThan(1)
    expect(of(events, 'perplexity').map(({ run, blocks }) => `${run}${blocks}`)).toEqual(['a2', 'a4', 'b2', 'b4'])
    const objectives = of(events, 'objective').filter(({ linear }) => linear === 'model.layers.0.mlp.down_proj')
    expect(objectives.flatMap(({ points }) => points.map(({ iteration }) => iteration))).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(of(events, 'progress').every(({ done }) => done >= 0 && done <= 1)).toBe(true)

    for (const result of report.runs) {
      expect(result.export?.files.map(({ path }) => path).sort()).toEqual([
        'README.md',
        'config.json',
        'generation_config.json',
        'model.safetensors',
        'quantization_report.json',
        'quantize_config.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ])
      const { summary, perplexity } = await measureAgain(sinks.get(result.run)!.files, job)
      expect(summary.quantized).toMatchObject({
        bits: 2,
        symmetric: false,
        format: 'GPTQ v2',
        method: result.run === 'a' ? 'rtn' : 'quantease',
      })
      expect(perplexity).toBeClose(result.perplexity!, { relative: 1e-5 })
    }
  })
})

describe('last words', () => {
  const stories = async () => {
    const text = await readFile('public/demo/evaluation.txt', 'utf8')
    return text
      .split(/\n+/)
      .map((story) => story.split(' ').slice(0, 40).join(' '))
      .filter((story) => story.split(' ').length === 40)
  }
  const withPassages = (passages: number, runs: Job['runs'] = []) => smallJob(runs, { lambada: { text: 'passages', passages } })

  it('are counted for the model as it is and for a run, as its checkpoint counts them again', async () => {
    await session.open(await testDemo(), 'demo')
    const passages = await stories()
    session.texts.add(memoryText('passages', passages.map((text) => JSON.stringify({ text })).join('\n'), 'passages.jsonl'))
    const job = withPassages(12, [run('two', 'rtn', { bits: 2, symmetric: true })])
    const { host, events, sinks } = memoryHost(session)
    const report = await runJob({ ...job, save: true }, host)
    // A model of perplexity 1.8 says many words of its stories right.
    expect(report.fpLambada).toMatchObject({ passages: 12, right: expect.any(Number) })
    expect(report.fpLambada!.right).toBeGreaterThan(3)
    expect(of(events, 'baseline')[0].lambada).toEqual(report.fpLambada)
    expect(of(events, 'progress').every(({ done }) => done <= 1)).toBe(true)
    await session.open(memoryFiles(sinks.get('two')!.files))
    const { host: again } = memoryHost(session)
    expect((await runJob({ ...job, runs: [] }, again)).fpLambada).toEqual(report.runs[0].lambada)
  })

  it('of a text that has none are refused before the start', async () => {
    await session.open(await tinyFiles(), 'tiny')
    session.texts.add(memoryText('passages', '"word"', 'passages.jsonl'))
    const { check, plan } = await examine(withPassages(0), session)
    expect(plan).toBeNull()
    expect(check.problems).toMatchObject([{ field: 'lambada.text', code: 'text-invalid' }])
  })
})

describe('every option, out and back', () => {
  const cases: [string, string, Job['runs'][0]['options']][] = [
    ['2 bits, act-order with moving groups', 'quantease', { bits: 2, groupSize: 32, actOrder: true, iterations: 4 }],
    [
      '3 bits, static groups, true-sequential',
      'quantease',
      { bits: 3, groupSize: 32, actOrder: true, staticGroups: true, trueSequential: true, iterations: 4 },
    ],
    ['4 bits, symmetric', 'quantease', { bits: 4, symmetric: true, iterations: 4, relax: false }],
    ['4 bits, symmetric, groups, act-order', 'quantease', { bits: 4, symmetric: true, groupSize: 32, actOrder: true, iterations: 4 }],
    ['8 bits, MSE grid', 'rtn', { bits: 8, grid: 'mse' }],
    ['3 bits, weighted grid', 'quantease', { bits: 3, groupSize: 32, grid: 'weighted', iterations: 4 }],
    ['3 bits, only the first block', 'rtn', { bits: 3, blocks: 1 }],
    ['8 bits, symmetric', 'rtn', { bits: 8, symmetric: true }],
  ]
  it.each(cases)('%s', async (_, method, options) => {
    await session.open(await tinyFiles(), 'tiny')
    const { host, sinks } = memoryHost(session)
    const job = smallJob([run('one', method, options)], { save: true })
    const [result] = (await runJob(job, host)).runs
    expect(result.error ?? result.exportError).toBeUndefined()
    const files = sinks.get('one')!.files
    const config = JSON.parse(new TextDecoder().decode(files.get('config.json')))
    expect(JSON.parse(new TextDecoder().decode(files.get('quantize_config.json')))).toEqual(config.quantization_config)
    expect(config.quantization_config).toMatchObject({
      bits: options.bits,
      sym: options.symmetric ?? false,
      group_size: options.groupSize ?? -1,
      desc_act: options.actOrder === true && !options.staticGroups,
      checkpoint_format: options.symmetric ? 'gptq' : 'gptq_v2',
    })
    expect(new TextDecoder().decode(files.get('notes/extra.txt'))).toBe('travels along')
    const { summary, perplexity } = await measureAgain(files, job)
    expect(summary.quantized).toMatchObject({ bits: options.bits, symmetric: options.symmetric ?? false })
    expect(perplexity).toBeClose(result.perplexity!, { relative: 1e-5 })
  })

  it('true-sequential gives the same codes whether paused blocks fit on the GPU or start again', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const gpu = await session.gpu()
    const job = smallJob([run('one', 'quantease', { bits: 3, trueSequential: true, iterations: 3 })], { save: true })
    const written: Uint8Array[] = []
    for (const budget of [gpu.memoryBudget, 1]) {
      Object.defineProperty(gpu, 'memoryBudget', { value: budget, configurable: true })
      const { host, sinks } = memoryHost(session)
      expect((await runJob(job, host)).runs[0].state).toBe('finished')
      written.push(sinks.get('one')!.files.get('model.safetensors')!)
    }
    Reflect.deleteProperty(gpu, 'memoryBudget')
    expect(written[1]).toEqual(written[0])
  })

  it('an already quantized model can only be measured', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const { host, sinks } = memoryHost(session)
    const job = smallJob([run('one', 'rtn', { bits: 4 })], { save: true })
    await runJob(job, host)
    await session.open(memoryFiles(sinks.get('one')!.files))
    await expect(runJob(job, host)).rejects.toMatchObject({ code: 'plan-invalid', message: expect.stringContaining('quantized already') })
  })
})

describe('outliers', () => {
  const kinds: [string, Job['runs'][0]['options']][] = [
    ['single weights', { outlier: 0.02 }],
    ['whole columns', { outlier: 0.05, structureOutlier: true, trueSequential: true }],
    ['single weights, masked', { outlier: 0.02, outlierMode: 'masked', groupSize: 32, actOrder: true }],
    ['only the first block', { outlier: 0.02, blocks: 1 }],
  ]
  it.each(kinds)('%s: bits as predicted, and a plain checkpoint that measures the same', async (_, options) => {
    await session.open(await tinyFiles(), 'tiny')
    const { host, sinks } = memoryHost(session)
    const job = smallJob([run('one', 'quantease', { bits: 3, iterations: 6, ...options })], { save: true })
    const { check } = await examine(job, session)
    const note = check.problems.find(({ field }) => field === 'runs.0.options.outlier')!
    expect(note.severity).toBe('note')
    expect(note.message).toContain(`${(check.runs[0].checkpointBytes / 2 ** 20).toFixed(1)} MiB`)
    const [result] = (await runJob(job, host)).runs
    expect(result.error ?? result.exportError).toBeUndefined()
    expect(result.bitsPerWeight).toBe(check.runs[0].bitsPerWeight)
    for (const { bits, shape } of result.layers) {
      const [q, p] = shape
      const kept = (of: number) => Math.max(1, Math.round((options.outlier as number) * of))
      expect(bits.outliers).toBe(options.structureOutlier ? kept(p) * (16 * q + 32) : kept(q * p) * 32 + 32 * q)
    }
    const files = sinks.get('one')!.files
    const { bytes, checkpoints } = result.export!
    expect(checkpoints.map(({ format }) => format)).toEqual(['dense'])
    expect(checkpoints[0].loadsIn.every(({ loads }) => loads)).toBe(true)
    expect(check.runs[0].checkpointBytes).toBe(bytes - told(result))
    const config = JSON.parse(new TextDecoder().decode(files.get('config.json')))
    expect(config).toEqual({ ...tinyConfig, torch_dtype: 'float32' })
    const { summary, perplexity } = await measureAgain(files, job)
    expect(summary.quantized).toBeNull()
    expect(summary.tensors.find(({ name }) => name.endsWith('layers.0.self_attn.q_proj.weight'))).toMatchObject({
      dtype: 'F32',
      shape: [32, 32],
    })
    expect(perplexity).toBeClose(result.perplexity!, { relative: 1e-3 })
  })

  it('lower the error of every layer', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const { host } = memoryHost(session)
    const base = { bits: 2, iterations: 8 }
    const job = smallJob([run('plain', 'quantease', base), run('kept', 'quantease', { ...base, outlier: 0.05 })])
    const [plain, kept] = (await runJob(job, host)).runs
    expect(kept.meanRelativeError!).toBeLessThan(plain.meanRelativeError! * 0.9)
    expect(kept.bitsPerWeight - plain.bitsPerWeight).toBeGreaterThan(1.6)
  })

  it('options of theirs that change nothing are pointed out', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const notes = async (options: Job['runs'][0]['options']) =>
      (await examine(smallJob([run('x', 'quantease', { bits: 4, ...options })]), session)).check.problems
        .filter(({ message }) => /no effect/.test(message))
        .map(({ field }) => field)
    expect(await notes({ outlier: 0.01, structureOutlier: true, alpha: 0.5 })).toEqual([])
    expect(await notes({ structureOutlier: true, outlierMode: 'masked', outlierRange: 'whole', alpha: 2 })).toEqual(
      ['structureOutlier', 'outlierMode', 'outlierRange', 'alpha'].map((key) => `runs.0.options.${key}`),
    )
    expect(await notes({ outlier: 0.01, outlierMode: 'masked', alpha: 2 })).toEqual(['runs.0.options.alpha'])
  })
})

describe('pause and cancel', () => {
  it('cancel ends the run with what it had, leaves no memory and no files behind, and a new job runs', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const gpu = await session.gpu()
    gpu.trim()
    const held = gpu.memory.held
    const job = smallJob([run('one', 'quantease', { bits: 3, iterations: 20 }), run('two', 'rtn', { bits: 3 })], { save: true })
    const { host, sinks, events } = memoryHost(session, (event, control) => {
      if (event.type === 'layer' && event.layer.name.endsWith('o_proj')) control.cancel()
    })
    const report = await runJob(job, host)
    expect(report.runs.length).toBe(1)
    // The chart of a report tells the peak that was told on the way, up to the end.
    const told = events.flatMap((event) => (event.type === 'memory' ? event.most : []))
    expect(Math.max(...report.memory.map((point) => point.held))).toBe(Math.max(...told))
    expect(report.runs[0]).toMatchObject({ state: 'cancelled', error: { code: 'cancelled' }, export: null })
    expect(report.runs[0].layers.length).toBe(4)
    expect(sinks.get('one')!.files.size).toBe(0)
    expect(gpu.memory.held).toBe(held)
    const { host: next } = memoryHost(session)
    expect((await runJob(smallJob([run('three', 'rtn', { bits: 3 })]), next)).runs[0].state).toBe('finished')
  })

  it('pause holds everything until resume', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const seen: string[] = []
    const { host } = memoryHost(session, (event, control) => {
      seen.push(event.type)
      if (event.type === 'layer' && seen.filter((type) => type === 'layer').length === 2) control.pause()
      if (event.type === 'paused') queueMicrotask(() => control.resume())
    })
    const report = await runJob(smallJob([run('one', 'rtn', { bits: 3 })]), host)
    expect(report.runs[0].state).toBe('finished')
    expect(seen.indexOf('resumed')).toBe(seen.indexOf('paused') + 1)
  })
})

describe('what goes wrong', () => {
  const refused = async (job: Job) => {
    const { check, plan } = await examine(job, session)
    const errors = check.problems.filter(({ severity }) => severity === 'error')
    expect(errors.length).toBeGreaterThan(0)
    expect(plan).toBeNull()
    return errors
  }

  it('names the field and the valid values of bad options', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const bad: [Job['runs'][0], string, RegExp][] = [
      [run('x', 'magic', {}), 'runs.0.method', /rtn, .*quantease/],
      [run('x', 'rtn', { bits: 5 }), 'runs.0.options.bits', /2, 3, 4 or 8, not 5/],
      [run('x', 'rtn', { groupSize: 7 }), 'runs.0.options.groupSize', /full row, 32, 64 or 128, not 7/],
      [run('x', 'quantease', { iterations: 0 }), 'runs.0.options.iterations', /from 1 to 1000, not 0/],
      [run('x', 'quantease', { outlier: 1.5 }), 'runs.0.options.outlier', /from 0 to 0.49, not 1.5/],
      [run('x', 'quantease', { outlierMode: 'best' }), 'runs.0.options.outlierMode', /iht or masked, not best/],
      [run('x', 'rtn', { blocks: 3 }), 'runs.0.options.blocks', /has 2 blocks, not 3/],
      [run('x', 'rtn', { colour: 3 }), 'runs.0.options.colour', /no option "colour"/],
    ]
    for (const [spec, field, message] of bad) {
      const [error] = await refused(smallJob([spec]))
      expect(error.field).toBe(field)
      expect(`${error.message} ${error.hint}`).toMatch(message)
    }
  })

  it('refuses windows and texts that do not fit, with the numbers', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const runs = [run('x', 'rtn', {})]
    const base = smallJob(runs)
    const long = await refused({ ...base, evaluation: { ...base.evaluation, length: 1024 } })
    expect(long[0]).toMatchObject({ field: 'evaluation.length', message: expect.stringContaining('512 positions') })
    const short = await refused({ ...base, calibration: { ...base.calibration, text: 'short' } })
    expect(short[0]).toMatchObject({ code: 'text-short', field: 'calibration.length' })
    const blank = await refused({ ...base, evaluation: { ...base.evaluation, text: 'blank' } })
    expect(blank[0]).toMatchObject({ code: 'text-short', field: 'evaluation.length' })
    const none = await refused({ ...base, evaluation: { ...base.evaluation, text: 'nowhere' } })
    expect(none[0]).toMatchObject({ code: 'text-invalid', field: 'evaluation.text' })
  })

  it('tells what a text was read as, and of rows without text', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const rows = [
      { id: 'a', messages: [{ role: 'user', content: 'The rope was long, and nobody knew. '.repeat(40) }] },
      { id: 'b' },
      { id: 'c' },
    ]
    session.texts.add(memoryText('talks', rows.map((row) => JSON.stringify(row)).join('\n'), 'talks.jsonl'))
    const base = smallJob([])
    const { check } = await examine({ ...base, evaluation: { ...base.evaluation, text: 'talks' } }, session)
    const from = {
      files: ['talks.jsonl'],
      form: 'JSON rows',
      column: 'messages',
      rows: 3,
      blank: 2,
      start: expect.stringMatching(/^The rope was/),
    }
    expect(check.evaluation?.from).toEqual(from)
    expect(check.problems).toContainEqual(
      expect.objectContaining({ field: 'evaluation.text', severity: 'warning', message: '2 of 3 rows have no text in messages.' }),
    )
  })

  it('says when the evaluation window had to shrink, and measures it', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const job = smallJob([], { evaluation: { text: 'short', samples: 0, length: 128 } })
    const { check } = await examine(job, session)
    expect(check.problems).toMatchObject([{ severity: 'warning', field: 'evaluation.length' }])
    const { host } = memoryHost(session)
    const report = await runJob(job, host)
    expect(report.evaluation.length).toBe(check.evaluation!.text)
    expect(report.fpPerplexity).toBeGreaterThan(1)
  })

  it('warns of evaluation text that calibration holds too, by the tokens and not by the name', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const text = await readFile('public/demo/evaluation.txt', 'utf8')
    session.texts.add(
      memoryText('mixed', `${await readFile('public/demo/calibration.txt', 'utf8')}`.slice(0, 20_000) + text.slice(0, 20_000)),
    )
    const shared = async (calibration: string) => {
      const job = smallJob([run('x', 'rtn', {})], { calibration: { text: calibration, samples: 200, length: 64, sampling: 'random' } })
      const { problems } = (await examine(job, session)).check
      return problems.find(({ field }) => field === 'evaluation.text')?.message
    }
    expect(await shared('mixed')).toMatch(/% of the evaluation tokens also occur in the calibration samples/)
    expect(await shared('demo-calibration')).toBeUndefined()
  })

  it('says where a result may take more than plain weights, how far blocks go, and of files only when there are some', async () => {
    await session.open(await tinyFiles(() => {}), 'tiny')
    const said = async (options: Options, changes: Partial<Job>, method = 'spqr') => {
      const { problems } = (await examine(smallJob([run('x', method, options)], changes), session)).check
      return problems.map(({ message }) => message).join()
    }
    expect(await said({ bits: 3, threshold: 0.01 }, {})).toContain('more than 16 bits per weight')
    expect(await said({ bits: 3, threshold: 0.2 }, {})).not.toContain('16 bits')
    expect(await said({}, { perplexityEvery: 99 }, 'rtn')).toMatch(/every 99 blocks: it is measured once, when all \d+ blocks/)
    const uneven = { bits: 3, groupSize: 128 }
    expect(await said(uneven, { save: true }, 'rtn')).toContain('which vLLM does not load')
    expect(await said(uneven, { save: false }, 'rtn')).not.toContain('vLLM')
    expect([oversized(16), oversized(21.14)?.message]).toEqual([null, expect.stringContaining('takes 21.14 bits per weight')])
  })

  it('says that the built-in stories are not for a model of everyday text', async () => {
    const remarks = async (vocab_size: number, text: string) => {
      await session.open(await tinyFiles(() => {}, { ...tinyConfig, vocab_size }), 'tiny')
      const calibration = { text, samples: 4, length: 32, sampling: 'consecutive' as const }
      const { problems } = (await examine(smallJob([run('x', 'rtn', {})], { calibration }), session)).check
      return problems.filter(({ field }) => field === 'calibration.text').map(({ severity }) => severity)
    }
    session.texts.add(memoryText('own', await readFile('public/demo/calibration.txt', 'utf8')))
    expect(await remarks(1024, 'demo-calibration')).toEqual([])
    expect(await remarks(16_384, 'demo-calibration')).toEqual(['note'])
    expect(await remarks(16_384, 'own')).toEqual([])
  })

  it('warns about ragged groups, loose sizes, few tokens and equal texts', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const job = smallJob([run('x', 'quantease', { bits: 3, groupSize: 32, staticGroups: true })], {
      calibration: { text: 'demo-evaluation', samples: 1, length: 16, sampling: 'consecutive' },
      save: true,
    })
    const { check, plan } = await examine(job, session)
    expect(plan).not.toBeNull()
    const about = check.problems.map(({ field }) => field)
    for (const field of [
      'runs.0.options.groupSize',
      'runs.0.options.bits',
      'runs.0.options.staticGroups',
      'calibration.samples',
      'evaluation.text',
    ]) {
      expect(about).toContain(field)
    }
    expect(check.problems.find(({ field }) => field === 'runs.0.options.groupSize')?.message).toContain('44')
  })

  it('predicts bits per weight and the size of the checkpoint exactly', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const job = smallJob([run('x', 'quantease', { bits: 3, groupSize: 32, actOrder: true, iterations: 2 })], { save: true })
    const { check } = await examine(job, session)
    const { host } = memoryHost(session)
    const [result] = (await runJob(job, host)).runs
    expect(check.runs[0].bitsPerWeight).toBeCloseTo(result.bitsPerWeight, 10)
    expect(check.runs[0].checkpointBytes).toBe(result.export!.bytes - told(result))
  })

  it('a refused model leaves the one before open', async () => {
    await session.open(await tinyFiles(), 'tiny')
    await expect(session.open(memoryFiles([['config.json', '{']]))).rejects.toBeInstanceOf(WorkbenchError)
    expect(session.model.folder.name).toBe('tiny')
  })

  it('NaN in a later block ends the job with the tensor’s name', async () => {
    await session.open(await tinyFiles((tensors) => tensors.get('model.layers.1.mlp.up_proj.weight')!.data.fill(Number.NaN, 3, 4)), 'tiny')
    const { host } = memoryHost(session)
    await expect(runJob(smallJob([run('x', 'rtn', {})]), host)).rejects.toMatchObject({
      code: 'weights-not-finite',
      message: expect.stringContaining('model.layers.1.mlp.up_proj.weight'),
    })
  })

  it('a tensor too large for the device is refused before the start, with its name and size', async () => {
    await session.open(await tinyFiles(), 'tiny')
    const { info } = await session.gpu()
    const { maxBuffer } = info
    info.maxBuffer = 4096
    const [error] = await refused(smallJob([run('x', 'rtn', {})]))
    info.maxBuffer = maxBuffer
    expect(error).toMatchObject({ code: 'gpu-too-small', message: expect.stringMatching(/(Gram|weight) matrix of (mlp|self_attn)/) })
  })

  it('without an adapter there is a clear error', async () => {
    await expect(new Session(undefined).gpu()).rejects.toMatchObject({ code: 'gpu-missing' })
    const none = { requestAdapter: async () => null } as unknown as GPU
    await expect(new Session(none).gpu()).rejects.toMatchObject({ code: 'gpu-missing' })
  })
})
