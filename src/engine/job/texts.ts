/** Texts: what can be chosen, what was chosen, and what was found in it. */
import type { TextFacts } from '../../data/text-facts.ts'

export { isDatasetId } from '../../data/datasets.ts'
export { figureColumns } from '../../data/figures.ts'
export type { TextFacts } from '../../data/text-facts.ts'

/** The built-in stories use a small child's vocabulary; for a model with more tokens than this, they are unsuitable. */
export const storyVocabulary = 8192

/** A calibration or evaluation text that the engine can read by id. */
export interface TextSource {
  id: string
  label: string
  /** Null until it is read over the network. */
  bytes: number | null
  origin: 'builtin' | 'dataset' | 'file' | 'paste'
  /** Of a data set: the split for each purpose. */
  about?: string
  /** Of a data set: how its calibration samples are drawn in the published code. */
  sampling?: Sampling
}

/** Windows anywhere in the text, the first ones end to end, or one from each of some documents. */
export type Sampling = 'random' | 'consecutive' | 'documents'

export interface TextChoice {
  /** `TextSource.id`, or a data set of the Hub: `owner/name[:config[:split[:column]]]`. */
  text: string
  /** Column or field with the text; detected when not given. */
  column?: string
  /** Whether to apply the model's chat template to the text's conversations. */
  chat?: boolean
}

export interface TokenCounts {
  /** Tokens in the whole text; null when it was read only in part. */
  text: number | null
  windows: number
  length: number
  /** Tokens of the text that the windows cover, where they overlap. */
  distinct?: number
  /** Windows held out beside these, when there are any. */
  heldOut?: number
  /** What was found in the text. */
  from?: TextFacts
}

/** A text as a job used it. */
export interface UsedText {
  /** Its label; for a data set of the Hub its id. */
  name: string
  /** Absent in reports of earlier versions. */
  origin?: TextSource['origin']
  /** SHA-256 of the used token ids, window after window, as little-endian int32. */
  tokensSha256: string
  /** Number of tokens used. */
  tokens: number
}

/** The texts of a job; a measurement has no calibration text. */
export interface UsedTexts {
  calibration?: UsedText
  /** Of the same text as the calibration. */
  heldOut?: UsedText
  evaluation: UsedText
  lambada?: UsedText
}

/** What was found in a text, as a sentence: files, format, column, rows, and the first words. */
export function describeText({ files, form, column, rows, blank, start }: TextFacts): string {
  const count = (n: number, what: string) => `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`
  const name = files.length > 1 ? `${files[0]} and ${count(files.length - 1, 'more file')}` : files[0]
  const table = form.startsWith('plain text')
    ? []
    : [
        column === null ? 'each row is a text' : `column ${column}`,
        count(rows, 'row') + (blank ? `, ${blank.toLocaleString('en')} without text` : ''),
      ]
  return [`${name}: ${form}`, ...table, `begins “${start}”`].join('; ')
}
