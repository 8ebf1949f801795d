/** Formats of the checkpoints, run by run, and whether what is solved is kept to be written in others later. Pure. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { FormatCheck, JobCheck } from '../engine/job/check.ts'
import type { CacheInfo } from '../engine/job/hub.ts'
import type { Job } from '../engine/job/job.ts'
import type { JobReport } from '../engine/job/report.ts'

/** In which formats a run is written: those chosen for it, or else what the check says. */
export function chosenFormats(job: Job, check: JobCheck | null, id: string): string[] {
  const chosen = job.runs.find((run) => run.id === id)?.formats
  return chosen ?? formatsOf(check, id).flatMap((format) => (format.written ? [format.id] : []))
}

export function formatsOf(check: JobCheck | null, run: string): FormatCheck[] {
  return check?.runs.find(({ id }) => id === run)?.formats ?? []
}

/**
 * These runs with a format more or less, in the order of the catalog; a run that cannot be written in it is left as it is, and
 * one without any is left to the engine.
 */
export function chooseFormat(catalog: Catalog, job: Job, check: JobCheck | null, runs: string[], id: string, on: boolean): Job {
  return {
    ...job,
    runs: job.runs.map((run) => {
      if (!runs.includes(run.id)) return run
      if (on && formatsOf(check, run.id).find((format) => format.id === id)?.refusal) return run
      const before = chosenFormats(job, check, run.id)
      const wanted = catalog.formats.map((format) => format.id).filter((one) => (one === id ? on : before.includes(one)))
      const { formats: _, ...rest } = run
      return wanted.length ? { ...rest, formats: wanted } : rest
    }),
  }
}

/** A job as it was written: every run with the formats that there are of it. */
export function asWritten(job: Job, { runs }: Pick<JobReport, 'runs'>): Job {
  return {
    ...job,
    runs: job.runs.map((run) => {
      const made = runs.find((result) => result.run === run.id)?.export?.checkpoints
      return made ? { ...run, formats: made.map(({ format }) => format) } : run
    }),
  }
}

/** Names of the programs that open it; the workbench opens all that it writes. */
export function loaders({ loadsIn }: Pick<FormatCheck, 'loadsIn'>): string[] {
  const names = loadsIn.flatMap(({ runtime, loads }) => (loads && runtime !== workbench ? [runtime.replace(/ \(.*\)$/, '')] : []))
  return [...new Set(names)]
}

const workbench = 'QuantEase Workbench'

/** A path that a shell takes as one word. */
export function commandFor(command: string, folder: string): string {
  return command.replaceAll('{folder}', folder.replace(/\/$/, ''))
}

/** What keeping the solved linears of all runs takes, bytes; null until it is known. */
export function keptBytes(check: JobCheck | null): number | null {
  return check?.runs.reduce((sum, run) => sum + run.solvedBytes, 0) ?? null
}

/** Of the room that the browser grants, what may be planned with: what it says is a guess. */
const roomShare = 0.8

/** Whether what is solved is kept: as the person said, or else where there seems to be room for it beside the checkpoints. */
export function keepsSolved(job: Job, check: JobCheck | null, room: CacheInfo | null): boolean {
  if (!job.save || !job.runs.length) return false
  if (job.keepSolved !== undefined) return job.keepSolved
  const kept = keptBytes(check)
  if (kept === null || !room?.quota) return true
  const written = check!.runs.reduce((sum, run) => sum + run.checkpointBytes, 0)
  return kept + written < roomShare * (room.quota - room.usage)
}
