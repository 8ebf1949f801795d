/** What checkpoints declare: a folder as people have it, quantized and written, holds what its config says and computes what was told. */
import { describe, expect, test } from 'vitest'
import { type Case, caseFile, caseFiles, casesOf, names } from '../../../e2e/cases/cases.ts'
import { testSource } from '../../gpu/testing.ts'
import type { Bytes } from '../../io/bytes.ts'
import { memoryFiles } from '../../io/memory.ts'
import { openFolder } from '../../io/folder.ts'
import type { Job, RunSpec } from '../job/job.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob } from '../testing.ts'

const session = new Session(testSource(), [])

/** The run that a case asks for in words. */
function specOf({ do: words }: Case): RunSpec {
  const number = (pattern: RegExp) => (words.match(pattern) ? Number(words.match(pattern)![1]) : undefined)
  const method = words.match(/RTN|GPTQ|QuantEase/)![0].toLowerCase()
  const options = {
    bits: number(/(\d) bits/)!,
    groupSize: number(/groups of (\d+)/),
    outlier: number(/outliers (0\.\d+)/),
    symmetric: words.includes('symmetric') || undefined,
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as RunSpec['options']
  return { id: 'one', label: method, method, options: given }
}

async function quantize(job: Job) {
  const { host, events, sinks } = memoryHost(session)
  const report = await runJob(job, host)
  const notices = events.flatMap((event) => (event.type === 'notice' ? [`${event.problem.message} ${event.problem.hint}`] : []))
  return { report, run: report.runs[0], notices, files: sinks.get('one')?.files }
}

async function texts(one: Case) {
  for (const path of ['models/calibration.txt', one.text!]) session.texts.add(memoryText(path, await (await caseFile(path)).text()))
  return {
    calibration: { text: 'models/calibration.txt', samples: 8, length: 64, sampling: 'consecutive' as const },
    evaluation: { text: one.text!, samples: 6, length: 64 },
  }
}

describe('exports', () => {
  const cases = casesOf('export')
  test.each(cases.map((one) => [one.id, one] as const))('%s', { timeout: 60_000 }, async (_, one) => {
    await session.open(await caseFiles(one))
    const chosen = await texts(one)
    const { report, run, notices, files } = await quantize(smallJob([specOf(one)], { ...chosen, save: true }))
    const [{ input_perplexity, relative_tolerance, layer_error }] = one.right
    const refused = one.right.find((right) => right.refused)?.refused
    if (layer_error) {
      const { relativeError } = run.layers.find(({ name }) => name === layer_error.name)!
      const said = notices.some((notice) => names(refused!, notice))
      expect(relativeError < layer_error.below || said, `${relativeError}; ${notices}`).toBe(true)
      expect(run.layers.find(({ name }) => name === layer_error.name)!.notes.join()).toContain('65504')
      return
    }
    expect(report.fpPerplexity!).toBeClose(input_perplexity!, { relative: relative_tolerance! })
    // Opened again, it computes what was told, in the dtype that it declares.
    const folder = await openFolder(memoryFiles(files!))
    expect(JSON.parse(folder.configText).dtype).toBe('bfloat16')
    expect(notices.join()).toMatch(/pass 65504.*declares bfloat16/)
    await session.open(memoryFiles(files!))
    const again = await quantize(smallJob([], chosen))
    expect(again.report.fpPerplexity!).toBeClose(run.perplexity!, { relative: 1e-6 })
  })
})

describe('dtypes', () => {
  test.each([
    ['float16', 'outlier'],
    ['float32', 'outlier'],
    ['bfloat16', 'plain'],
  ] as const)(
    'a checkpoint of a model in %s, %s, computes what was told when it is opened again',
    { timeout: 60_000 },
    async (dtype, kind) => {
      const chosen = await texts(casesOf('export')[0])
      const base = await caseFiles({ ...casesOf('export')[0], folder: baseFolder })
      const config = JSON.parse(await (base.get('config.json') as Blob).text())
      await session.open(new Map<string, Bytes>([...base, ['config.json', new Blob([JSON.stringify({ ...config, dtype })])]]))
      const options = { bits: 3, iterations: 4, outlier: kind === 'outlier' ? 0.02 : 0 }
      const { run, files, notices } = await quantize(
        smallJob([{ id: 'one', label: 'one', method: 'quantease', options }], { ...chosen, save: true }),
      )
      expect(run.error ?? run.exportError).toBeUndefined()
      expect(notices).toEqual([])
      const folder = await openFolder(memoryFiles(files!))
      expect(JSON.parse(folder.configText).dtype).toBe(dtype)
      const stored = folder.checkpoint.tensors.get('model.layers.0.mlp.down_proj.weight')?.dtype
      expect(stored).toBe(kind === 'plain' ? undefined : { float16: 'F16', float32: 'F32' }[dtype as 'float16'])
      await session.open(memoryFiles(files!))
      const again = await quantize(smallJob([], chosen))
      expect(again.report.fpPerplexity!).toBeClose(run.perplexity!, { relative: 1e-6 })
    },
  )
})

describe('codes', () => {
  test.each([
    ['mxfp4', 'compressed-tensors', {}],
    ['nvfp4', 'compressed-tensors', {}],
    ['uniform', 'compressed-tensors', { symmetric: true, groupSize: 32 }],
    ['uniform', 'gptq', { groupSize: 32 }],
    ['uniform', 'awq', { groupSize: 32 }],
  ] as const)('of %s in %s compute what was told when they are opened again', { timeout: 60_000 }, async (kind, format, more) => {
    const chosen = await texts(casesOf('export')[0])
    await session.open(await caseFiles({ ...casesOf('export')[0], folder: baseFolder }))
    const options = { bits: 4, kind, ...more }
    const { run, files } = await quantize(
      smallJob([{ id: 'one', label: 'one', method: 'rtn', options }], { ...chosen, save: true, formats: [format] }),
    )
    expect(run.error ?? run.exportError).toBeUndefined()
    await session.open(memoryFiles(files!))
    const again = await quantize(smallJob([], chosen))
    expect(again.report.fpPerplexity!).toBeClose(run.perplexity!, { relative: 1e-6 })
  })
})

/** The random model that the cases differ from, in float16. */
const baseFolder = Object.fromEntries(
  ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map((name) => [name, `models/base/${name}`]),
)
