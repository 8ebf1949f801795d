/** Reads and tokenizes the texts of a job, and draws its windows. */
import { evaluationWindows, sampleWindows } from '../../data/corpus.ts'
import { maxText, remarksOn, type TextFacts } from '../../data/documents.ts'
import type { Passage } from '../../data/lambada.ts'
import { toErrorData } from '../../errors.ts'
import type { Job, TokenCounts } from '../job.ts'
import type { Session } from '../session.ts'
import { today } from '../texts.ts'
import type { Findings } from './findings.ts'

type Part = 'calibration' | 'evaluation' | 'lambada'

/** Windows of a text, and facts about them. */
interface Drawn {
  windows: Int32Array[]
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
  const { shape } = session.model.model
  const lengthFits = (field: string, value: number) => {
    if (!found.whole(field, 'The window length', value, 2, 2 ** 20)) return false
    if (shape.maxPositions === null || value <= shape.maxPositions) return true
    found.fail(
      field,
      'option-invalid',
      `The model has ${shape.maxPositions} positions, but windows of ${value} tokens were requested.`,
      `Choose ${shape.maxPositions} or less.`,
    )
    return false
  }
  const { texts } = session
  const { date = today() } = job
  const read = async <T>(part: Part, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work()
    } catch (error) {
      const { code, message, hint } = toErrorData(error)
      if (code === 'internal') throw error
      found.fail(`${part}.${code === 'text-short' && part !== 'lambada' ? 'length' : 'text'}`, code, message, hint)
      return null
    }
  }
  const caution = (part: Part, facts: TextFacts) => {
    for (const { message, hint, note } of remarksOn(facts)) found.warn(`${part}.text`, message, hint, note ? 'note' : 'warning')
  }
  const drawn = (windows: Int32Array[], text: number | null, from: TextFacts) => ({
    windows,
    counts: { text, windows: windows.length, length: windows[0].length, from },
  })
  const stream = async (part: 'calibration' | 'evaluation') => {
    const { tokens, cut, facts } = await texts.tokens({ ...job[part], date }, part)
    caution(part, facts)
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

  const seedFits = found.whole('seed', 'The seed', job.seed, 0, 2 ** 32 - 1)
  found.whole('perplexityEvery', 'Measuring perplexity every so many blocks', job.perplexityEvery, 0, 1024)

  // A job without runs only measures the model and needs no calibration text.
  const calibrates =
    job.runs.length > 0 &&
    found.whole('calibration.samples', 'The number of samples', job.calibration.samples, 1, 2 ** 20) &&
    lengthFits('calibration.length', job.calibration.length)
  const { sampling } = job.calibration
  const calibration =
    calibrates && seedFits
      ? await read('calibration', async () => {
          if (sampling === 'documents') {
            const { windows, facts } = await texts.samples({ ...job.calibration, date }, job.seed)
            caution('calibration', facts)
            return drawn(windows, null, facts)
          }
          const { tokens, facts } = await stream('calibration')
          return drawn(sampleWindows(tokens, { ...job.calibration, sampling, seed: job.seed }), tokens.length, facts)
        })
      : null
  const evaluates =
    found.whole('evaluation.samples', 'The number of windows', job.evaluation.samples, 0, 2 ** 20) &&
    lengthFits('evaluation.length', job.evaluation.length)
  const evaluation = evaluates
    ? await read('evaluation', async () => {
        const { tokens, facts } = await stream('evaluation')
        const samples = job.evaluation.samples || texts.windows(job.evaluation)
        return drawn(evaluationWindows(tokens, { ...job.evaluation, samples }).windows, tokens.length, facts)
      })
    : null
  const lastWords =
    job.lambada && found.whole('lambada.passages', 'The number of passages', job.lambada.passages, 0, 2 ** 20)
      ? await read('lambada', () => texts.passages({ ...job.lambada!, date }, shape.maxPositions ?? Number.POSITIVE_INFINITY))
      : null
  if (lastWords) caution('lambada', lastWords.facts)
  const passages = job.lambada ? (lastWords?.passages ?? null) : []

  const dated = (['calibration', 'evaluation', 'lambada'] as const).find((part) => job[part] && texts.usesDate(job[part]))
  if (dated) found.warn(`${dated}.chat`, `The chat template writes today’s date into the text; this job uses ${date}.`, '', 'note')

  return { calibration, evaluation, lastWords, passages }
}
