/** `sweep report`: what the jobs of a sweep came to, as a table and as reports that hold the runs of all jobs on one model beside each other. */
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import type { JobReport } from '../engine/job/report.ts'
import { readSmall, writeJson, writeWhole } from './files.ts'
import { filesOf, jobFolder, readPlan } from './job.ts'
import { readResult } from './run.ts'
import { figure } from '../figure.ts'

/** A job of a sweep in its table. */
export interface Row {
  index: number
  id: string
  label: string
  model: string
  state: 'done' | 'failed' | 'missing'
  /** What its last attempt ended with, where it is not done. */
  error: string | null
  method: string | null
  bitsPerWeight: number | null
  perplexity: number | null
  fpPerplexity: number | null
  kl: number | null
  top1: number | null
  meanRelativeError: number | null
  meanHeldOutError: number | null
  seconds: number | null
}

const nothing = {
  method: null,
  bitsPerWeight: null,
  perplexity: null,
  fpPerplexity: null,
  kl: null,
  top1: null,
  meanRelativeError: null,
  meanHeldOutError: null,
  seconds: null,
}

/** Gathers a sweep, and writes table and reports into its folder. @throws {WorkbenchError} `file-missing` without a plan */
export async function reportSweep(dir: string): Promise<{ rows: Row[]; files: string[] }> {
  const plan = await readPlan(dir)
  if (!plan) throw new WorkbenchError('file-missing', `There is no plan in ${dir}.`, '`sweep plan SWEEP.json --out DIR` makes one.')
  const rows: Row[] = []
  const reports: { label: string; id: string; report: JobReport }[] = []
  for (const [index, { id, label, model }] of plan.jobs.entries()) {
    const files = filesOf(jobFolder(dir, id))
    const head = { index, id, label, model }
    const result = await readResult(files.result).catch((error: WorkbenchError) => error)
    if (result && !(result instanceof Error)) {
      reports.push({ label, id, report: result.report })
      rows.push({ ...head, state: 'done', error: null, ...figuresOf(result.report) })
      continue
    }
    const error = result?.message ?? (await failureOf(files.failure))
    rows.push({ ...head, state: error === null ? 'missing' : 'failed', error, ...nothing })
  }
  const open = rows.flatMap(({ label, state, error }) => (state === 'done' ? [] : [{ label, state, error }]))
  return { rows, files: await write(dir, rows, compared(reports, { jobs: rows.length, open })) }
}

async function write(dir: string, rows: Row[], reports: JobReport[]): Promise<string[]> {
  const files = [
    ['table.json', `${JSON.stringify(rows, null, 1)}\n`],
    ['table.csv', csvOf(rows)],
    ['table.md', markdownOf(rows)],
  ]
  for (const [name, text] of files) await writeWhole(join(dir, name), text)
  const named = reports.map((report, i) => [reports.length > 1 ? `report-${i}.json` : 'report.json', report] as const)
  for (const [name, report] of named) await writeJson(join(dir, name), report)
  return [...files, ...named].map(([name]) => join(dir, name))
}

function figuresOf(report: JobReport): Omit<Row, 'index' | 'id' | 'label' | 'model' | 'state' | 'error'> {
  const [run] = report.runs
  const { perplexity, kl, top1, meanRelativeError, bitsPerWeight, meanHeldOutError = null, seconds } = run
  const method = report.job.runs[0].method
  return { method, bitsPerWeight, perplexity, fpPerplexity: report.fpPerplexity, kl, top1, meanRelativeError, meanHeldOutError, seconds }
}

/** What a job failed of that no retry can mend; null for one that was stopped, or has not begun. */
async function failureOf(path: string): Promise<string | null> {
  const data = await readSmall(path, 2 ** 20)
  if (!data) return null
  try {
    const { code, error } = JSON.parse(new TextDecoder().decode(data))
    return code === 75 ? null : `${error.message} (exit ${code})`
  } catch {
    return null
  }
}

/** Reports of jobs on one model and the same texts as one with a run each, which a page shows side by side. */
function compared(reports: { label: string; id: string; report: JobReport }[], gathered: JobReport['gathered']): JobReport[] {
  const groups = new Map<string, typeof reports>()
  for (const one of reports) {
    const { model, texts, job } = one.report
    const key = JSON.stringify([model.sha256, texts, job.calibration, job.evaluation, job.seed, one.report.adapter.name])
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  return [...groups.values()].map((group) => {
    const [{ report }] = group
    const runs = group.flatMap(({ id, report }) => report.runs.map((run) => ({ ...run, run: id })))
    const specs = group.map(({ id, label, report: { job } }) => ({ ...job.runs[0], id, label: label.slice(label.indexOf(': ') + 2) }))
    const times = (of: 'started' | 'ended') => group.map(({ report }) => report[of]).sort()
    return {
      ...report,
      job: { ...report.job, runs: specs },
      runs,
      started: times('started')[0],
      ended: times('ended').at(-1)!,
      memory: [],
      gathered,
      seconds: group.reduce((sum, { report: { seconds } }) => sum + seconds, 0),
    }
  })
}

const columns = Object.keys({ index: 0, id: 0, label: 0, model: 0, state: 0, error: 0, ...nothing }) as (keyof Row)[]

function csvOf(rows: Row[]): string {
  const cell = (value: Row[keyof Row]) => {
    const text = value === null ? '' : String(value)
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  return `${[columns.join(','), ...rows.map((row) => columns.map((column) => cell(row[column])).join(','))].join('\n')}\n`
}

const digits = (value: number | null, count = 4) => (value === null ? '' : figure(value, count))

/** The table for people; what is not done stands below it. */
export function markdownOf(rows: Row[]): string {
  const done = rows.filter(({ state }) => state === 'done')
  const clean = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
  const lines = [
    '| job | bits per weight | perplexity | full precision | KL, nats | same top token | mean relative error | held out | seconds |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...done.map((row) => {
      const top = row.top1 === null ? '' : `${(100 * row.top1).toFixed(1)} %`
      const figures = [digits(row.bitsPerWeight, 3), digits(row.perplexity), digits(row.fpPerplexity), digits(row.kl, 3), top]
      return `| ${[clean(row.label), ...figures, digits(row.meanRelativeError, 3), digits(row.meanHeldOutError, 3), digits(row.seconds, 3)].join(' | ')} |`
    }),
    '',
    `${done.length} of ${rows.length} jobs are done.`,
    ...rows
      .filter(({ state }) => state === 'failed')
      .map(({ index, label, error }) => `- failed: ${index}, ${clean(label)}: ${clean(error ?? '')}`),
    ...rows.filter(({ state }) => state === 'missing').map(({ index, label }) => `- missing: ${index}, ${clean(label)}`),
  ]
  return `${lines.join('\n')}\n`
}
