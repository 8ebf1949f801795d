/** The same prompt, continued by the model in full precision and by what runs made of it, token by token. */
import { WorkbenchError } from '../../errors.ts'
import type { Store } from '../../io/bytes.ts'
import { wordsOf } from '../../data/tokenizer/words.ts'
import { modelDigest } from '../keep/fingerprint.ts'
import { readHead } from '../keep/journal-files.ts'
import { SolvedBlocks } from '../keep/solved.ts'
import type { Session } from '../session.ts'
import type { RunSpec } from '../job/job.ts'
import { planRun } from '../plan/plan.ts'
import { Reader, refuseText, solvedNames } from './reader.ts'

export interface TextQuestion {
  prompt: string
  /** Runs beside the full-precision model. */
  runs: string[]
  /** Tokens, at most. */
  tokens: number
  /** 0: always the likeliest. */
  temperature: number
  seed: number
}

/** A run of the question, and where it is kept as what. */
export interface KeptSource {
  id: string
  journal: Store
  run: string
}

export interface Answer {
  /** Null: the model in full precision, or as it is stored. */
  run: string | null
  ids: number[]
  /** The text of each token. */
  words: string[]
  /** What full precision gave to each token; null until all have spoken. */
  probabilities: number[] | null
  /** The model said that the text ends. */
  ended: boolean
}

export interface Conversation {
  /** Tokens of the prompt, special ones included. */
  prompt: number
  answers: Answer[]
}

/** Told after each token. */
type Tell = (answer: Answer) => void

/** Most tokens of a continuation. */
export const mostTokens = 256

/**
 * Runs are loaded one after the other, the full-precision model last: it then says what it thinks of what they said. `kept`: where those
 * of the question are kept.
 * @throws WorkbenchError `plan-invalid` for an empty prompt; `journal-mismatch` for runs that are not kept or of another model;
 * `cancelled`; and what `Reader.open` throws
 */
export async function continueText(
  session: Session,
  kept: KeptSource[],
  question: TextQuestion,
  { tell, signal }: { tell: Tell; signal: AbortSignal },
): Promise<Conversation> {
  const { runs } = question
  const { model: opened, tokenizer } = session
  const gpu = await session.gpu()
  const { before, length } = lengthsOf(session, question)
  const ends = endsOf(session)
  const speak = async (run: string | null, reader: Reader): Promise<Answer> => {
    const answer: Answer = { run, ids: [], words: [], probabilities: null, ended: false }
    let next: ArrayLike<number> = before
    while (answer.ids.length < length - before.length && !answer.ended) {
      signal.throwIfAborted()
      const id = pick(await reader.next(next), question, answer.ids.length)
      answer.ids.push(id)
      answer.words = wordsOf(tokenizer, answer.ids)
      answer.ended = ends.has(id)
      next = [id]
      tell({ ...answer })
    }
    return answer
  }
  const mark = gpu.mark()
  try {
    const answers: Answer[] = []
    for (const run of runs) {
      const { journal, head, i } = await sourceOf(session, kept, run)
      const solved = await SolvedBlocks.open(journal, i)
      try {
        const spec = head.job.runs[i]
        const blocks = Number(spec.options.blocks) || opened.model.shape.blocks
        const reader = await Reader.open(gpu, opened, { kept: solved, spec, blocks }, length)
        answers.push(await speak(run, reader))
        reader.dispose()
      } finally {
        await solved.log.close()
      }
    }
    const reader = await Reader.open(gpu, opened, null, length)
    answers.unshift(await speak(null, reader))
    for (const answer of answers) {
      signal.throwIfAborted()
      const given = await reader.probabilities([...before, ...answer.ids])
      answer.probabilities = [...given.subarray(before.length - 1)]
    }
    return { prompt: before.length, answers }
  } finally {
    gpu.releaseSince(mark)
    gpu.trim()
  }
}

/** What can be wrong with a question before any weights are read; `specs`: its runs. @throws WorkbenchError as `continueText` */
export async function checkQuestion(session: Session, question: TextQuestion, specs: RunSpec[]): Promise<void> {
  const { length } = lengthsOf(session, question)
  const gpu = await session.gpu()
  const { model } = session
  refuseText(gpu, model, null, length)
  for (const spec of specs) {
    // What is wrong with the run itself is told where it is checked.
    const run = planRun(spec, model, gpu.info.maxBinding, false, [], () => {})
    const ends = run?.ends.map(({ name }) => name) ?? []
    if (run) refuseText(gpu, model, solvedNames(model, run, ends), length)
  }
}

/** The tokens before the first that is said, and the length of the whole text. @throws WorkbenchError `plan-invalid` for no tokens */
function lengthsOf({ tokenizer }: Session, { prompt, tokens }: TextQuestion): { before: Int32Array; length: number } {
  const all = tokenizer.encode(prompt)
  // What a template appends ends the text.
  const before = all.subarray(0, all.length - tokenizer.after)
  if (!before.length) throw new WorkbenchError('plan-invalid', 'The prompt has no tokens.', 'Write some words for the models to continue.')
  return { before, length: before.length + Math.min(tokens, mostTokens) }
}

/** Where a run of the question is kept, once it is sure to be of the model that is open. */
async function sourceOf(session: Session, kept: KeptSource[], id: string) {
  const source = kept.find((one) => one.id === id)
  const head = source && (await readHead(source.journal))
  const i = head?.job.runs.findIndex((spec) => spec.id === source?.run) ?? -1
  if (!source || !head || i < 0) throw new WorkbenchError('journal-mismatch', 'What this run solved is no longer kept.')
  if (head.fingerprint.model !== (await modelDigest(session.model, session.source)))
    throw new WorkbenchError(
      'journal-mismatch',
      'The model that is open holds other weights.',
      'Open the one that the runs were made from.',
    )
  return { journal: source.journal, head, i }
}

/** Tokens that end a text, by the tokenizer and by config.json. */
function endsOf({ model, tokenizer }: Session): Set<number> {
  const { eos_token_id: given } = model.folder.config
  const word = model.vocabulary?.special.get('eos_token')
  const named = tokenizer.tables.added.find(({ content }) => content === word)
  return new Set([named?.id, ...(Array.isArray(given) ? given : [given])].filter((id) => typeof id === 'number'))
}

/**
 * The likeliest token; with a temperature, one drawn by adding Gumbel noise to logits / T. The noise is the same for every model, so that
 * they part only where their logits do.
 */
export function pick(logits: ArrayLike<number>, { temperature, seed }: Pick<TextQuestion, 'temperature' | 'seed'>, step: number): number {
  let [best, most] = [0, Number.NEGATIVE_INFINITY]
  for (let id = 0; id < logits.length; id++) {
    const value = temperature > 0 ? logits[id] / temperature + gumbel(seed, step, id) : logits[id]
    if (value > most) [best, most] = [id, value]
  }
  return best
}

/** −ln(−ln u), u uniform by a hash of the three. */
function gumbel(seed: number, step: number, id: number): number {
  const u = (mixed(mixed(mixed(seed) ^ step) ^ id) + 0.5) / 2 ** 32
  return -Math.log(-Math.log(u))
}

/** Every bit of a 32-bit word depends on every other (the finalizer of MurmurHash3). */
function mixed(word: number): number {
  let h = (word + 0x9e3779b9) >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
