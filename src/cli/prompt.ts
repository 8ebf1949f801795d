/** `--prompt`: how the model, as it is and quantized, continues a text. */
import { type Answer, checkQuestion, continueText, mostTokens, type TextQuestion } from '../engine/inspect/text.ts'
import type { RunSpec } from '../engine/job/job.ts'
import type { Session } from '../engine/session.ts'
import type { Target } from '../engine/hosts/target.ts'
import { sharesApart } from '../shares.ts'
import { type Given, UsageError, usualTokens } from './arguments.ts'

/** What is asked of every model; its seed is that of the job. */
export type Prompt = Pick<TextQuestion, 'prompt' | 'tokens' | 'temperature'>

/** @throws {UsageError} */
export function promptOf(given: Given): Prompt | null {
  const prompt = given.text('prompt')
  if (prompt === undefined) return null
  if (given.on('dry-run')) throw new UsageError('--prompt needs the weights of the model, which --dry-run does not read.')
  const temperature = Number(given.text('temperature') ?? 0)
  if (!(temperature >= 0 && temperature <= 10) || given.text('temperature')?.trim() === '')
    throw new UsageError(`--temperature has to be a number from 0 to 10, not "${given.text('temperature')}".`)
  const tokens = given.whole('prompt-tokens', usualTokens, 1)
  if (tokens > mostTokens) throw new UsageError(`--prompt-tokens can be up to ${mostTokens}, not ${tokens}.`)
  return { prompt, tokens, temperature }
}

/** A prompt, with the seed of its job. */
type Asking = Prompt & { seed: number }

/** What is wrong with a prompt, before hours are spent on the runs that are to continue it. @throws {WorkbenchError} as `continueText` */
export const checkPrompt = (session: Session, prompt: Asking, runs: RunSpec[]) => checkQuestion(session, { ...prompt, runs: [] }, runs)

export interface Continued {
  asked: Asking
  /** Tokens of the prompt. */
  length: number
  full: Answer
  /** By run. */
  runs: Map<string, Answer>
}

/** What runs that are kept in this journal say, beside the model as it is. @throws {WorkbenchError} as `continueText` */
export async function continued(session: Session, asked: Asking, journal: Target['journal'], runs: string[]): Promise<Continued> {
  const kept = runs.map((run) => ({ id: run, run, journal }))
  const question = { ...asked, runs }
  const { prompt, answers } = await continueText(session, kept, question, { tell: () => {}, signal: new AbortController().signal })
  const full = answers.find(({ run }) => run === null)!
  return { asked, length: prompt, full, runs: new Map(answers.flatMap((answer) => (answer.run === null ? [] : [[answer.run, answer]]))) }
}

/** For `--json`; `run`: beside full precision. */
export function continuationOf({ asked, length, full, runs }: Continued, run?: string) {
  const said = ({ words, ids, probabilities, ended }: Answer) => ({ text: words.join(''), ids, probabilities, ended })
  const quantized = run === undefined ? undefined : runs.get(run)
  const { prompt, temperature, seed } = asked
  return {
    continuation: {
      prompt,
      prompt_tokens: length,
      temperature,
      seed,
      as_stored: said(full),
      ...(quantized && { quantized: said(quantized) }),
    },
  }
}

/** For people. */
export function continuationText({ asked, full, runs }: Continued, run?: string): string {
  const quantized = run === undefined ? undefined : runs.get(run)
  const lines = [`Prompt: ${printable(asked.prompt)}`, `Continued as stored: ${printable(full.words.join(''))}`]
  if (quantized) lines.push(`Continued quantized: ${printable(quantized.words.join(''))}`, partingText(quantized, full))
  return `${lines.join('\n')}\n`
}

/** Where a text parts from that of full precision, and how likely both words were to it. */
function partingText({ ids, words, probabilities }: Answer, full: Answer): string {
  const at = ids.findIndex((id, i) => id !== full.ids[i])
  if (at < 0) return `The same ${ids.length} tokens.`
  const word = (words: string[]) => `“${printable(words[at] ?? '')}”`
  const [ours, theirs] = sharesApart(probabilities?.[at] ?? 0, full.probabilities?.[at] ?? 0)
  const own = `They part at token ${at + 1}: ${word(words)}, to which full precision gave ${ours} %`
  return at < full.ids.length ? `${own}; its own ${word(full.words)} had ${theirs} %.` : `${own}.`
}

/** What a model says may hold anything; a terminal is to show it, not to obey it. */
const printable = (text: string) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
  text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
