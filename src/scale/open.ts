/** Models and texts of jobs that run without a person: opened by the places that a job names, and held against its digests. */
import { existsSync } from 'node:fs'
import { link, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { WorkbenchError } from '../errors.ts'
import { connect, demo, isRemote, notesPlace, openModel, parkingPlace } from '../cli/inputs.ts'
import { Given } from '../cli/arguments.ts'
import { demoTexts } from '../engine/hosts/demo.ts'
import { textFile } from '../engine/hosts/node.ts'
import { type Hub, hubDatasets } from '../engine/hub.ts'
import type { Job } from '../engine/job/job.ts'
import type { ModelOrigin, ModelSummary } from '../engine/job/model.ts'
import { withTexts } from '../engine/job-file.ts'
import { modelDigest } from '../engine/keep/fingerprint.ts'
import { Session } from '../engine/session.ts'
import { gemmFormNames } from '../gpu/ops/gemm-forms.ts'
import { sha256 } from '../io/digest.ts'
import { z } from '../io/zod.ts'
import { digestOfFile, readSmall, writeJson } from './files.ts'
import type { SweepJob } from './job.ts'

/** A session with the Hub, where a model or text may be; no request is made yet. `gpu`: undefined where nothing is computed. */
export function openSession(gpu: GPU | undefined): { session: Session; hub: Hub } {
  const given = new Given({})
  const hub = connect(given)
  const session = new Session(gpu, demoTexts(demo), (...which) => hubDatasets(hub)(...which), undefined, notesPlace(given))
  session.parking = parkingPlace(given)
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
  const { sha256: found } = await openNamed(session, hub, model)
  if (file.model.sha256 !== undefined && file.model.sha256 !== found)
    throw new WorkbenchError(
      'plan-invalid',
      `${model} is not the model that was planned: its digest is ${found.slice(0, 16)}, not ${file.model.sha256.slice(0, 16)}.`,
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

/**
 * Of the ways to make products, all workers of a sweep take the one that the first on such a device has measured to be fast, so that their
 * sums come out the same. It is kept in the sweep's folder.
 */
export async function agree(session: Session, dir: string): Promise<void> {
  const { gemmKernel, sweepPanel } = await session.gpuSummary()
  const { told, arithmetic } = await session.adapterTraits()
  const device = (await sha256(new TextEncoder().encode(JSON.stringify([told, arithmetic])))).slice(0, 16)
  const path = join(dir, 'devices', `${device}.json`)
  if (!existsSync(path)) {
    const draft = `${path}.${process.pid}`
    await writeJson(draft, { gemmKernel, sweepPanel })
    // Unlike a rename, it fails where another worker was first; some file systems have no links.
    await link(draft, path).catch((error) => (error.code === 'EEXIST' ? undefined : rename(draft, path)))
    await rm(draft, { force: true })
  }
  const data = await readSmall(path, 4096)
  const read = kernels.safeParse(JSON.parse(new TextDecoder().decode(data ?? new Uint8Array())))
  if (!read.success) throw new WorkbenchError('plan-invalid', `${path} is damaged.`, 'Remove it: the next worker measures again.')
  await session.settle(read.data)
}

const kernels = z.strictObject({
  gemmKernel: z.enum(gemmFormNames),
  sweepPanel: z
    .int()
    .min(1)
    .max(2 ** 16),
})

/** Folder of the model on this disk; null for one from elsewhere. */
export const localModel = (model: string) => (model === 'demo' ? 'public/demo' : isRemote(model) ? null : model)
