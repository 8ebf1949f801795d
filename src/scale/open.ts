/** Models and texts of jobs that run without a person: opened by the places that a job names, and held against its digests. */
import { WorkbenchError } from '../errors.ts'
import { connect, demo, isRemote, openModel } from '../cli/inputs.ts'
import { Given } from '../cli/arguments.ts'
import { demoTexts } from '../engine/hosts/demo.ts'
import { textFile } from '../engine/hosts/node.ts'
import { type Hub, hubDatasets } from '../engine/hub.ts'
import type { Job, ModelOrigin, ModelSummary } from '../engine/job.ts'
import { withTexts } from '../engine/job-file.ts'
import { modelDigest } from '../engine/keep/fingerprint.ts'
import { Session } from '../engine/session.ts'
import { digestOfFile } from './files.ts'
import type { SweepJob } from './job.ts'

/** A session with the Hub, where a model or text may be; no request is made yet. `gpu`: undefined where nothing is computed. */
export function openSession(gpu: GPU | undefined): { session: Session; hub: Hub } {
  const hub = connect(new Given({}))
  const session = new Session(gpu, demoTexts(demo), (...which) => hubDatasets(hub)(...which))
  return { session, hub }
}

/** How the model is named on any machine. */
export function originOf(model: string, { name, source }: ModelSummary): ModelOrigin {
  return source ? { kind: 'hub', ...source } : model === 'demo' ? { kind: 'demo' } : { kind: 'files', name }
}

/** Opens a model, and tells its digest. */
export async function openNamed(session: Session, hub: Hub, model: string): Promise<{ summary: ModelSummary; sha256: string }> {
  const summary = await openModel(session, hub, model)
  return { summary, sha256: await modelDigest(session.model, session.source) }
}

/**
 * The job on its open model, with its texts at hand.
 * @throws {WorkbenchError} `plan-invalid` where the model or a text is not the one that was planned
 */
export async function openJob(session: Session, hub: Hub, { job: file, model, texts }: SweepJob): Promise<Job> {
  const { sha256 } = await openNamed(session, hub, model)
  if (file.model.sha256 !== undefined && file.model.sha256 !== sha256)
    throw new WorkbenchError(
      'plan-invalid',
      `${model} is not the model that was planned: its digest is ${sha256.slice(0, 16)}, not ${file.model.sha256.slice(0, 16)}.`,
      'Bring back that model, or plan the sweep again: that adds jobs for this one.',
    )
  const ids: { [part: string]: string } = {}
  for (const [part, { path, sha256: planned }] of Object.entries(texts)) {
    if ((await digestOfFile(path)) !== planned)
      throw new WorkbenchError(
        'plan-invalid',
        `${path} has changed since the sweep was planned.`,
        'Bring back that text, or plan the sweep again: that adds jobs for this one.',
      )
    ids[part] = session.texts.add(await textFile(path)).id
  }
  return withTexts(file.job, ({ text }, part) => ids[part] ?? text)
}

/** Folder of the model on this disk; null for one from elsewhere. */
export const localModel = (model: string) => (model === 'demo' ? 'public/demo' : isRemote(model) ? null : model)
