/** Pure functions on the texts of a plan: which there are, what each is used for, and what they are good for. */
import type { Job } from '../engine/job/job.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import { type TextChoice, type TextFacts, type TextSource, isDatasetId } from '../engine/job/texts.ts'

export type TextPurpose = 'calibration' | 'evaluation' | 'lambada'

/** Enough for a standard error of two points, and not the whole evening. */
const firstPassages = 500

/** Another text; which column it was and whether it held conversations says nothing about this one. */
export function chooseText(job: Job, purpose: TextPurpose, text: TextSource): Job {
  const { column: _, chat: __, ...rest } = job[purpose] ?? { passages: firstPassages }
  const { sampling } = job.calibration
  const fitting = text.sampling ?? (sampling === 'documents' ? 'random' : sampling)
  return { ...job, [purpose]: { ...rest, text: text.id, ...(purpose === 'calibration' && { sampling: fitting }) } }
}

export function setText(job: Job, purpose: TextPurpose, part: Partial<TextChoice>): Job {
  return { ...job, [purpose]: { ...job[purpose], ...part } }
}

export function measureLastWords(job: Job, texts: TextSource[], on: boolean): Job {
  const { lambada: _, ...rest } = job
  const text = texts.find(({ id }) => id === 'lambada') ?? texts.find(({ origin }) => origin === 'file') ?? texts[0]
  return on && text ? { ...rest, lambada: { text: text.id, passages: firstPassages } } : rest
}

/** Those ids that are data sets of the Hub. */
export function namedDatasets(ids: string[]): TextSource[] {
  return [...new Set(ids)].filter(isDatasetId).map((id) => ({ id, label: id, bytes: null, origin: 'dataset' }))
}

/** The choices, and those data sets of the Hub that a job names. */
export function withDatasets(texts: TextSource[], { calibration, evaluation, lambada }: Job): TextSource[] {
  const named = namedDatasets([calibration, evaluation, ...(lambada ? [lambada] : [])].map(({ text }) => text))
  return [...texts, ...named.filter(({ id }) => !texts.some((one) => one.id === id))]
}

/** The choices of a text field, by where they come from. */
export function textGroups(texts: TextSource[]): { title: string; texts: TextSource[] }[] {
  const titles: Record<TextSource['origin'], string> = {
    builtin: 'Built in',
    dataset: 'Data sets of the Hub',
    file: 'Your files',
    paste: 'Pasted',
  }
  return (Object.keys(titles) as TextSource['origin'][])
    .map((origin) => ({ title: titles[origin], texts: texts.filter((text) => text.origin === origin) }))
    .filter((group) => group.texts.length)
}

/** Has columns, so that one may have to be named, and may hold conversations. */
export function isStructured({ origin, label, about }: TextSource, found?: TextFacts): boolean {
  if (origin === 'dataset') return about === undefined
  if (found) return !found.form.startsWith('plain text')
  return /\.(jsonl?|ndjson|csv|tsv|parquet)(\.(gz|zst))?$/i.test(label)
}

/** Pasted text as a file: JSON lines are read as such. */
export function pastedFile(text: string, number: number): { name: string; text: string } {
  const lines = text.split('\n').filter((line) => line.trim())
  const json = lines.every((line) => {
    try {
      return typeof JSON.parse(line) === 'object'
    } catch {
      return false
    }
  })
  return { name: `Pasted text ${number}${json ? '.jsonl' : ''}`, text }
}

export function widestInput({ linears }: Pick<ModelSummary, 'linears'>): number {
  return Math.max(...linears.map(({ shape }) => shape[1]))
}

/** Tokens for each input of the widest layer, and where that stands on a scale from a tenth to a hundred times. */
export function coverage(tokens: number, widest: number): { ratio: number; place: number } {
  const ratio = tokens / widest
  return { ratio, place: Math.min(1, Math.max(0, (Math.log10(ratio) + 1) / 3)) }
}

/** Brought by the person: it can be taken off the list. */
export function isOwn({ origin, about }: TextSource): boolean {
  return origin === 'file' || origin === 'paste' || (origin === 'dataset' && about === undefined)
}

const built: Record<TextPurpose, RegExp> = { calibration: /calib/i, evaluation: /eval/i, lambada: /lambada/i }

/** The plan without a text: what used it uses one that is always there. */
export function withoutText(job: Job, texts: TextSource[], id: string): Job {
  const left = texts.filter((text) => text.id !== id)
  return (Object.keys(built) as TextPurpose[]).reduce((made, purpose) => {
    const other = left.find((text) => built[purpose].test(text.id)) ?? left[0]
    return made[purpose]?.text === id && other ? chooseText(made, purpose, other) : made
  }, job)
}
