/** The files of a journal: begun, read, and removed again. */
import type { Store } from '../../io/bytes.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { GpuSummary } from '../job/device.ts'
import type { Job } from '../job/job.ts'
import type { ModelOrigin, ModelSummary } from '../job/model.ts'
import type { JobReport } from '../job/report.ts'
import type { RunResult } from '../job/result.ts'
import type { TextSource } from '../job/texts.ts'
import { Log } from './log.ts'
import type { TextFile } from '../texts.ts'

export interface JournalHead {
  started: string
  fingerprint: Fingerprint
  job: Job
  model: ModelSummary
  origin: ModelOrigin
  /** `GpuSummary.sweepPanel`: chosen by measurement, so it may differ the next time. */
  sweepPanel: number
  /** `GpuSummary.gemmKernel`, likewise. */
  gemmKernel: GpuSummary['gemmKernel']
  /** Linears that all runs solve together; absent in journals of earlier versions. */
  linears?: number
  /** Texts of the job stored in the journal itself, by the number of their file. */
  texts: (Pick<TextSource, 'id' | 'label' | 'origin'> & { fileName: string })[]
}

const ours = /^(head|job|run-\d+|states-\w+|text-\d+)$/

/** Forgets the checkpoints of a finished job and what it solved; its figures stay, and say so. */
export async function dropCheckpoints(store: Store): Promise<void> {
  const head = await readHead(store)
  const log = head && (await Log.open(store, 'job'))
  if (!log) return
  try {
    const dropped = new Date().toISOString()
    const forget = (result: RunResult): RunResult => (result.export ? { ...result, export: null, dropped } : result)
    for (const { id } of head.job.runs) {
      const result = log.get<RunResult>(`result:${id}`)
      if (result?.export) await log.put(`result:${id}`, forget(result))
    }
    const report = log.get<JobReport>('report')
    if (!report) return
    await log.put('report', { ...report, runs: report.runs.map(forget) })
    for (const name of await store.list()) if (/^(run-\d+|states-\w+)$/.test(name)) await store.remove(name)
  } finally {
    await log.close()
  }
}

/** The start of a journal; returns the log of the job. */
export async function write(store: Store, head: JournalHead, texts: TextFile[]): Promise<Log> {
  await discardJournal(store)
  for (const [i, text] of texts.entries()) {
    const file = await store.edit(`text-${i}`)
    try {
      await file.write(new Uint8Array(await (await text.open()).arrayBuffer()), 0)
      await file.flush()
    } finally {
      await file.close()
    }
  }
  const log = await Log.open(store, 'head')
  await log.put('head', head)
  await log.close()
  return Log.open(store, 'job')
}

/** The user's own texts of the job in the journal. */
export async function journalTexts(store: Store): Promise<TextFile[]> {
  const texts: TextFile[] = []
  for (const [i, text] of ((await readHead(store))?.texts ?? []).entries()) {
    const file = await store.edit(`text-${i}`)
    const content = new Blob([await file.read(0, file.size)])
    await file.close()
    texts.push({ ...text, bytes: content.size, open: async () => content })
  }
  return texts
}

export async function readHead(store: Store): Promise<JournalHead | null> {
  if (!(await store.list()).includes('head')) return null
  const log = await Log.open(store, 'head')
  try {
    return log.get<JournalHead>('head') ?? null
  } finally {
    await log.close()
  }
}

export async function discardJournal(store: Store): Promise<void> {
  for (const name of await store.list()) if (ours.test(name)) await store.remove(name)
}

export const countLinears = (log: Log) => log.keys().filter((key) => key.startsWith('linear:')).length
