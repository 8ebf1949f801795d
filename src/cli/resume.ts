/** What --resume takes from the journal beside the folder of --save, and what it keeps of the folder itself. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { Job } from '../engine/job/job.ts'
import type { JournalSummary } from '../engine/job/kept.ts'
import { overrideText } from '../overrides.ts'
import { type Given, outsideJob, specsOf, UsageError } from './arguments.ts'

/** Whether all of the job is left to the journal. */
export function takesAll({ values }: Given): boolean {
  const own = Object.keys(values).filter((flag) => values[flag] !== undefined && !outsideJob.includes(flag))
  return values.resume === true && !own.length
}

/** The formats to be written, and what to say about them. */
export interface FormatChoice {
  formats: string[] | undefined
  note: string | null
}

/**
 * The formats asked for, beside those that the job has in its folder already: what is there stays. Without any asked for, those of the job.
 * `standing`: the folder holds a checkpoint that is not to be replaced.
 */
export function chooseFormats(
  asked: string[] | undefined,
  before: Pick<JournalSummary, 'job' | 'results'> | null,
  standing: boolean,
): FormatChoice {
  const result = before?.results.at(0)
  const there = standing ? (result?.export?.checkpoints.map(({ format }) => format) ?? result?.earlierFormats ?? []) : []
  const chosen = asked ?? before?.job.formats
  if (!there.length) return { formats: chosen, note: null }
  const added = (chosen ?? []).filter((id) => !there.includes(id))
  const formats = [...there, ...added]
  if (!added.length) return { formats, note: null }
  const stay =
    there.length > 1
      ? `The checkpoints that are there (${there.join(', ')}) stay beside ${added.join(', ')}.`
      : `The checkpoint that is there moves into the subfolder ${there[0]}, beside ${added.join(', ')}.`
  return { formats, note: `Note: ${stay}` }
}

/** @throws {UsageError} where an upload would be of several checkpoints */
export function checkPushed(pushed: boolean, { formats }: FormatChoice): void {
  if (!pushed || (formats?.length ?? 1) < 2) return
  throw new UsageError(
    `--push uploads one checkpoint into one repository, and --save would hold several: ${formats!.join(', ')}. Give one --format, and --overwrite where it is to replace those that are there.`,
  )
}

const overridesOf = (run: Job['runs'][number] | undefined) => (run?.overrides ?? []).map(overrideText).join(' ')

/** The arguments by which a job differs from the one in the journal. */
export function differing(catalog: Catalog, job: Job, before: Job): string[] {
  const [run, earlier] = [job.runs.at(0), before.runs.at(0)]
  const solver = catalog.solvers.find(({ id }) => id === run?.method)
  const own = new Set([...(solver?.options ?? []), ...catalog.runOptions])
  const options = [...specsOf(catalog)].filter((spec) => own.has(spec))
  const value = (of: Job['runs'][number] | undefined, key: string, otherwise: unknown) => of?.options[key] ?? otherwise
  const parts: [flag: string, now: unknown, then: unknown][] = [
    ['quantization-method', run?.method, earlier?.method],
    ...(run?.method === earlier?.method
      ? options.map(({ flag, key, default: otherwise }): [string, unknown, unknown] => [
          flag,
          value(run, key, otherwise),
          value(earlier, key, otherwise),
        ])
      : []),
    ['override', overridesOf(run), overridesOf(earlier)],
    ['dataset', job.calibration.text, before.calibration.text],
    ['nsamples', job.calibration.samples, before.calibration.samples],
    ['seqlen', job.calibration.length, before.calibration.length],
    ['sampling', job.calibration.sampling, before.calibration.sampling],
    ['held-out', job.calibration.heldOut, before.calibration.heldOut],
    ['chat-template', job.calibration.chat ?? false, before.calibration.chat ?? false],
    ['eval', job.evaluation.text, before.evaluation.text],
    ['eval-samples', job.evaluation.samples, before.evaluation.samples],
    ['eval-seqlen', job.evaluation.length, before.evaluation.length],
    ['products', job.evaluation.products ?? 'f32', before.evaluation.products ?? 'f32'],
    ['lambada', job.lambada?.text, before.lambada?.text],
    ['lambada-passages', job.lambada?.passages, before.lambada?.passages],
    ['seed', job.seed, before.seed],
    ['date', job.date, before.date],
  ]
  return parts.filter(([, now, then]) => now !== then).map(([flag]) => `--${flag}`)
}
