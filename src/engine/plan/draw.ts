/** Reads and tokenizes the texts of a job, and draws its windows. */
import { type Drawn as DrawnWindows, evaluationWindows, sampleWindows } from '../../data/corpus.ts'
import { maxText, remarksOn, type TextFacts } from '../../data/text-facts.ts'
import type { Passage } from '../../data/lambada.ts'
import { toErrorData } from '../../errors.ts'
import type { Job } from '../job/job.ts'
import type { TokenCounts } from '../job/texts.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
import type { Findings } from './findings.ts'

type Part = 'calibration' | 'evaluation' | 'lambada'

/** Windows of a text, and facts about them. */
interface Drawn {
  windows: Int32Array[]
  /** Of the same text, in other places: what is calibrated is measured on them. */
  heldOut: Int32Array[]
  counts: TokenCounts
}

export interface DrawnTexts {
  /** Null when there are errors, or when none is needed. */
  calibration: Drawn | null
  evaluation: Drawn | null
  lastWords: { passages: Passage[]; facts: TextFacts } | null
  /** Passages for `lastWords`; none when it is not measured, null when there are errors. */
  passages: Passage[] | null
}

/** Reads the texts of a job and draws its windows and passages. */
export async function drawTexts(job: Job, session: Session, found: Findings): Promise<DrawnTexts> {
  const { date = today() } = job
  const drawing = new Drawing({ ...job, date }, session, found)
  const seedFits = found.whole('seed', 'The seed', job.seed, 0, 2 ** 32 - 1)
  found.whole('perplexityEvery', 'Measuring perplexity every so many blocks', job.perplexityEvery, 0, 1024)
  // A job without runs only measures the model and needs no calibration text.
  const calibration = job.runs.length > 0 ? await drawing.calibration(seedFits) : null
  const evaluation = await drawing.evaluation()
  const lastWords = await drawing.lastWords()
  const passages = job.lambada ? (lastWords?.passages ?? null) : []

  const dated = (['calibration', 'evaluation', 'lambada'] as const).find((part) => job[part] && session.texts.usesDate(job[part]))
  if (dated) found.warn(`${dated}.chat`, `The chat template writes today’s date into the text; this job uses ${date}.`, '', 'note')

  return { calibration, evaluation, lastWords, passages }
}

/** Windows to hold out beside the calibration samples. */
export const heldOutOf = ({ samples, heldOut = 0 }: Pick<Job['calibration'], 'samples' | 'heldOut'>) =>
  heldOut > 0 ? Math.max(1, Math.round(heldOut * samples)) : 0

/** Why a model cannot take windows of this length; null where it can. */
export function tooLong({ maxPositions }: { maxPositions: number | null }, length: number): { message: string; hint: string } | null {
  if (maxPositions === null || length <= maxPositions) return null
  const message = `The model has ${maxPositions} positions, but windows of ${length} tokens were requested.`
  return { message, hint: `Choose ${maxPositions} or less.` }
}

class Drawing {
  constructor(
    readonly job: Job & { date: string },
    readonly session: Session,
    readonly found: Findings,
  ) {}

  /** Null also where the seed that it would be drawn by does not fit. */
  async calibration(seedFits: boolean): Promise<Drawn | null> {
    const { found, job } = this
    const { samples, length, sampling } = job.calibration
    const { heldOut: share = 0 } = job.calibration
    const fits = [
      found.whole('calibration.samples', 'The number of samples', samples, 1, 2 ** 20) && this.#lengthFits('calibration.length', length),
      this.#shareFits(share),
    ].every(Boolean)
    if (!fits || !seedFits) return null
    const heldOut = heldOutOf(job.calibration)
    return this.#read('calibration', async () => {
      if (sampling === 'documents') {
        const { facts, ...windows } = await this.session.texts.samples({ ...job.calibration, date: job.date }, job.seed, heldOut)
        this.#caution('calibration', facts)
        return this.#held(windows, heldOut, null, facts)
      }
      const { tokens, facts } = await this.#stream('calibration')
      const windows = sampleWindows(tokens, { samples, length, sampling, seed: job.seed, heldOut })
      return this.#held(windows, heldOut, tokens.length, facts)
    })
  }

  async evaluation(): Promise<Drawn | null> {
    const { found, job } = this
    const fits =
      found.whole('evaluation.samples', 'The number of windows', job.evaluation.samples, 0, 2 ** 20) &&
      this.#lengthFits('evaluation.length', job.evaluation.length)
    if (!fits) return null
    return this.#read('evaluation', async () => {
      const { tokens, facts } = await this.#stream('evaluation')
      const samples = job.evaluation.samples || this.session.texts.windows(job.evaluation)
      return drawn(evaluationWindows(tokens, { ...job.evaluation, samples }).windows, tokens.length, facts)
    })
  }

  async lastWords(): Promise<DrawnTexts['lastWords']> {
    const { lambada, date } = this.job
    if (!lambada || !this.found.whole('lambada.passages', 'The number of passages', lambada.passages, 0, 2 ** 20)) return null
    const most = this.session.model.model.shape.maxPositions ?? Number.POSITIVE_INFINITY
    const words = await this.#read('lambada', () => this.session.texts.passages({ ...lambada, date }, most))
    if (words) this.#caution('lambada', words.facts)
    return words
  }

  #shareFits(share: number): boolean {
    if (share >= 0 && share <= 1) return true
    const what = `The held-out share has to be from 0 to 1, not ${share}.`
    this.found.fail('calibration.heldOut', 'option-invalid', what, 'Choose 0 to hold nothing out, or for example 1/6.')
    return false
  }

  /** Says so where the text has no room for all windows that were to be held out. */
  #held({ windows, heldOut, distinct }: DrawnWindows, wanted: number, text: number | null, facts: TextFacts): Drawn {
    if (heldOut.length < wanted) {
      const room = heldOut.length ? `only ${heldOut.length} of ${wanted}` : 'none'
      const many = `${wanted} window${wanted > 1 ? 's' : ''}`
      this.found.warn(
        'calibration.heldOut',
        `${many} of the calibration text were to be held out, to measure the error on tokens that the methods do not see; beside the calibration samples there is room for ${room}.`,
        'Choose fewer or shorter samples, or a longer text.',
      )
    }
    return drawn(windows, text, facts, { heldOut, distinct })
  }

  #lengthFits(field: string, value: number): boolean {
    const { found } = this
    if (!found.whole(field, 'The window length', value, 2, 2 ** 20)) return false
    const beyond = tooLong(this.session.model.model.shape, value)
    if (beyond) found.fail(field, 'option-invalid', beyond.message, beyond.hint)
    return !beyond
  }

  /** What `work` makes of a text; null, and a finding, where it cannot be read or is too short. */
  async #read<T>(part: Part, work: () => Promise<T>): Promise<T | null> {
    try {
      return await work()
    } catch (error) {
      const { code, message, hint } = toErrorData(error)
      if (code === 'internal') throw error
      this.found.fail(`${part}.${code === 'text-short' && part !== 'lambada' ? 'length' : 'text'}`, code, message, hint)
      return null
    }
  }

  #caution(part: Part, facts: TextFacts): void {
    for (const { message, hint, note } of remarksOn(facts)) this.found.warn(`${part}.text`, message, hint, note ? 'note' : 'warning')
  }

  /** All tokens of a text. */
  async #stream(part: 'calibration' | 'evaluation') {
    const { found, job } = this
    const { tokens, cut, facts } = await this.session.texts.tokens({ ...job[part], date: job.date }, part)
    this.#caution(part, facts)
    if (cut) {
      found.warn(
        `${part}.text`,
        `The text is long: only its first ${maxText >> 20} million characters are used, ${tokens.length} tokens.`,
        '',
        'note',
      )
    }
    return { tokens, facts }
  }
}

function drawn(windows: Int32Array[], text: number | null, from: TextFacts, more: Partial<DrawnWindows> = {}): Drawn {
  const { heldOut = [], distinct } = more
  const [{ length }] = windows
  const overlap = distinct !== undefined && distinct < windows.length * length
  return {
    windows,
    heldOut,
    counts: {
      text,
      windows: windows.length,
      length,
      ...(overlap && { distinct }),
      ...(heldOut.length && { heldOut: heldOut.length }),
      from,
    },
  }
}
