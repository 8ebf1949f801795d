/** The texts of a session: built-in ones, files, and data sets of the Hub; read and tokenized as the plan needs them. */
import type { ChatTemplate, ChatTemplateFile } from '../data/chat.ts'
import type { Drawn as DrawnWindows } from '../data/corpus.ts'
import { datasetPart, datasets, isDatasetId, type ListDataset, openDataset, type Purpose } from '../data/datasets.ts'
import type { Text } from '../data/documents.ts'
import type { TextFacts } from '../data/text-facts.ts'
import { type Passage, readPassage } from '../data/lambada.ts'
import type { TextTokenizer } from '../data/tokenizer.ts'
import { WorkbenchError } from '../errors.ts'
import type { Bytes } from '../io/bytes.ts'
import type { CalibrationSpec } from './job/job.ts'
import type { TextChoice, TextSource, UsedText } from './job/texts.ts'

/** Formats of files, compression and chat templates: what takes a while to load, when a text is first read. */
export const loadReaders = () => import('../data/documents.ts')
export const loadTokenizers = () => import('../data/tokenizer.ts')

/** A text that may be asked for by its id. */
export interface TextFile extends TextSource {
  /** Says how it is read: .jsonl, .parquet, .gz or plain. */
  fileName: string
  bytes: number
  open(): Promise<Bytes>
}

/** A text as one token stream; `cut`: it goes on, but no more of it is read. */
export interface TokenStream {
  tokens: Int32Array
  cut: boolean
  facts: TextFacts
}

/** With the day that a chat template takes for today, as `Job.date`. */
type Dated<T> = T & { date?: string }

/** The day it is here. */
export function today(): string {
  const now = new Date()
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, '0')).join('-')
}

/** Streams and samples kept at most; a plan has three texts, and people go back and forth between a few. */
const kept = 8

export class Texts {
  readonly #files = new Map<string, TextFile>()
  /** Of the model that is open. */
  #tokenizer: TextTokenizer | null = null
  #chat: ChatTemplateFile | WorkbenchError | null = null
  #embeddingRows = Number.POSITIVE_INFINITY
  readonly #results = new Map<string, Promise<unknown>>()

  constructor(
    files: TextFile[],
    /** Null where there is no way to the Hub. */
    readonly list: ListDataset | null,
  ) {
    for (const file of files) this.add(file)
  }

  add(file: TextFile): TextSource {
    this.#files.set(file.id, file)
    this.#forget((key) => key.includes(JSON.stringify(file.id)))
    return sourceOf(file)
  }

  /** A text that is no data set. */
  file(id: string): TextFile | undefined {
    return this.#files.get(id)
  }

  /** What a report says of a text. */
  named(id: string): Pick<UsedText, 'name' | 'origin'> {
    const file = this.#files.get(id)
    return file ? { name: file.label, origin: file.origin } : { name: id, origin: 'dataset' }
  }

  /** What there is to choose from, without the data sets that nobody named yet. */
  get sources(): TextSource[] {
    const known = (this.list ? datasets : []).map(({ id, label, about, sampling }) => ({
      id,
      label,
      about,
      sampling,
      bytes: null,
      origin: 'dataset' as const,
    }))
    return [...[...this.#files.values()].map(sourceOf), ...known]
  }

  /**
   * From now on ids are those of this tokenizer, and of a model with so many rows in its embedding. `chat`: its template, or
   * why that cannot be used.
   */
  use(tokenizer: TextTokenizer, chat: ChatTemplateFile | WorkbenchError | null, embeddingRows = Number.POSITIVE_INFINITY): void {
    this.#tokenizer = tokenizer
    this.#embeddingRows = embeddingRows
    this.#chat = chat
    this.#results.clear()
  }

  /** Whether the text depends on the day, because a chat template writes it. */
  usesDate({ chat }: TextChoice): boolean {
    return chat === true && this.#chat !== null && 'usesDate' in this.#chat && this.#chat.usesDate
  }

  /** The whole text, or the first 32 million characters of it, as one stream. */
  tokens(choice: Dated<TextChoice>, purpose: Purpose): Promise<TokenStream> {
    return this.#once(['tokens', choice.text, choice.column, this.#day(choice), purpose], async () => {
      const { readText } = await loadReaders()
      const { text, cut, facts } = await readText(await this.#open(choice, purpose), this.#template(choice))
      return { tokens: (await this.#encode(choice))(text), cut, facts }
    })
  }

  /** Calibration samples of single documents, read only until there are enough. */
  samples(choice: Dated<CalibrationSpec>, seed: number, heldOut = 0): Promise<DrawnWindows & { facts: TextFacts }> {
    const { samples, length } = choice
    return this.#once(['samples', choice.text, choice.column, this.#day(choice), samples, length, seed, heldOut], async () => {
      const text = await this.#open(choice, 'calibration')
      const template = this.#template(choice)
      const { documents, noFacts } = await loadReaders()
      const { sampleDocuments } = await import('../data/corpus.ts')
      let facts = noFacts(text)
      const read = () => {
        facts = noFacts(text)
        return documents(text, template, facts)
      }
      const drawn = await sampleDocuments(read, await this.#encode(choice), { samples, length, seed, heldOut })
      return { ...drawn, facts }
    })
  }

  /** The first passages of a text with their last words; `most`: tokens that the model can take. */
  passages(choice: Dated<TextChoice & { passages: number }>, most: number): Promise<{ passages: Passage[]; facts: TextFacts }> {
    return this.#once(['passages', choice.text, choice.column, this.#day(choice), choice.passages, most], async () => {
      const { documents, noFacts } = await loadReaders()
      const encode = await this.#encode(choice)
      const passages: Passage[] = []
      const text = { ...(await this.#open(choice, 'evaluation')), perLine: true }
      const facts = noFacts(text)
      for await (const document of documents(text, this.#template(choice), facts)) {
        if (!document.trim()) continue
        passages.push(readPassage(document, encode, most, passages.length + 1, choice.chat ? 0 : this.#tokenizer?.after))
        if (passages.length === choice.passages) break
      }
      if (!passages.length) throw new WorkbenchError('text-short', 'The text for last-word accuracy is empty.', 'Choose another text.')
      return { passages, facts }
    })
  }

  /** Lies on the Hub. */
  isRemote({ text }: TextChoice): boolean {
    return !this.#files.has(text) && datasetPart(text, 'evaluation') !== null
  }

  /** Windows at most where a published data set is measured whole. */
  windows(choice: TextChoice): number {
    return (this.isRemote(choice) && datasetPart(choice.text, 'evaluation')?.windows) || 0
  }

  async #open(choice: TextChoice, purpose: Purpose): Promise<Text> {
    const { text: id, column } = choice
    const file = this.#files.get(id)
    if (file) return { ...(await loadReaders()).fileText(file.fileName, await file.open()), column }
    const part = datasetPart(id, purpose)
    if (!part) {
      const hint = isDatasetId(`x/${id}`) ? 'Data sets of the Hub are named owner/name.' : ''
      throw new WorkbenchError('text-invalid', `There is no text "${id}".`, `Choose a built-in text, a data set or a file. ${hint}`.trim())
    }
    if (!this.list) {
      throw new WorkbenchError('text-invalid', `The data set ${id} is on the Hub, which is not available here.`, 'Choose a file instead.')
    }
    return openDataset({ ...part, column: column ?? part.column }, purpose, this.list)
  }

  /** What tells the texts of one choice apart: no template, a template, or a template on a day. */
  #day(choice: Dated<TextChoice>): string | boolean {
    return this.usesDate(choice) ? (choice.date ?? today()) : choice.chat === true
  }

  #template({ chat, date = today() }: Dated<TextChoice>): ChatTemplate | null {
    if (!chat) return null
    if (this.#chat instanceof WorkbenchError) throw this.#chat
    if (this.#chat) return this.#chat.on(date)
    throw new WorkbenchError(
      'text-invalid',
      'The model has no chat template.',
      'Turn the chat template off, or open the model with its tokenizer_config.json or chat_template.jinja.',
    )
  }

  /** A template writes the special tokens itself. */
  async #encode({ chat, text: id }: TextChoice): Promise<(text: string) => Int32Array> {
    const tokenizer = this.#tokenizer
    if (!tokenizer) throw new WorkbenchError('plan-invalid', 'No model is open.', 'Open a model first.')
    const name = `The text "${this.#files.get(id)?.label ?? id}"`
    const { checkIds } = await loadTokenizers()
    return (text) => {
      const ids = tokenizer.encode(text, { special: !chat })
      checkIds(ids, this.#embeddingRows, tokenizer, name)
      return ids
    }
  }

  #once<T>(parts: unknown[], work: () => Promise<T>): Promise<T> {
    const key = JSON.stringify(parts)
    let result = this.#results.get(key) as Promise<T> | undefined
    this.#results.delete(key)
    if (!result) {
      result = work()
      result.catch(() => {
        if (this.#results.get(key) === result) this.#results.delete(key)
      })
    }
    // Used last, forgotten last.
    this.#results.set(key, result)
    for (const oldest of this.#results.keys()) {
      if (this.#results.size <= kept) break
      this.#results.delete(oldest)
    }
    return result
  }

  #forget(which: (key: string) => boolean): void {
    for (const key of this.#results.keys()) if (which(key)) this.#results.delete(key)
  }
}

function sourceOf({ id, label, bytes, origin }: TextSource): TextSource {
  return { id, label, bytes, origin }
}
