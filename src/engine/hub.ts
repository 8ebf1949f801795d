/** Models of the Hub for the page and the command line: their information, and opening them. */
import { toErrorData, WorkbenchError } from '../errors.ts'
import type { Files } from '../io/bytes.ts'
import type { Hub } from '../io/hub/hub.ts'
import { type HubFile, type Repo, weightBytes } from '../io/hub/answers.ts'
import { parseRepo } from '../io/hub/addresses.ts'
import { readConfig } from '../io/folder.ts'
import { unwritable } from '../io/names.ts'
import { otherWeights } from '../io/wrong.ts'
import { openCheckpoint } from '../io/safetensors.ts'
import { families, readModel } from '../models/index.ts'
import type { HubModel } from './job/hub.ts'
import type { HubOrigin, ModelSummary, Problem } from './job/model.ts'
import type { Session } from './session.ts'

export { hubDatasets } from '../data/datasets.ts'
export { defaultCacheBudget } from '../io/hub/cache.ts'
export { type Hub, openHub } from '../io/hub/hub.ts'
export { publicHub } from '../io/hub/network.ts'
export type { NetworkEvent } from '../io/hub/traffic.ts'
export type { Pushed, PushPlace, PushProgress } from '../io/hub/push.ts'

/** Uploading, which most visits do without. */
export const loadPushing = () => import('../io/hub/push.ts')

/** Files of a model besides its weights; repositories also contain images, other formats and training logs. */
const companions = /^[^/]+\.(json|txt|model|jinja|md|tiktoken|spm)$|^(LICENSE|NOTICE|USE_POLICY|COPYING)[^/]*$/i
const maxCompanion = 128 << 20

/** @throws WorkbenchError of the network, or `option-invalid` for an invalid repository name */
export async function hubModel(hub: Hub, text: string, asked?: string): Promise<HubModel> {
  const { repo, ref } = designation(text, asked)
  const [facts, revisions] = await Promise.all([hub.facts(repo, ref), hub.refs(repo)])
  const listed = await hub.list(repo, facts.sha, { recursive: false })
  const files = modelFiles(hub, repo, facts.sha, listed)
  const bytes = weightBytes(listed)
  const problems: Problem[] = []
  const conversions = bytes ? [] : await hub.conversions(repo, revisions.pulls)
  let { modelType, parameters } = facts
  let read: string | null = null
  const look = async (work: () => Promise<void>) => {
    try {
      await work()
    } catch (error) {
      const { code, message, hint } = toErrorData(error)
      if (code === 'internal') throw error
      problems.push({ severity: 'error', code, message, hint })
    }
  }
  // For a repository without a model's files, only that is reported.
  const empty = !bytes && !files.has('config.json')
  if (!empty)
    await look(async () => {
      const { config } = await readConfig(files)
      if (typeof config.model_type === 'string') modelType = config.model_type
      read = readModel(config).family.label
    })
  const familyLabel = read ?? families.find(({ modelTypes }) => modelTypes.includes(modelType ?? ''))?.label ?? null
  if (!bytes) await look(async () => Promise.reject(noWeights(repo, listed, conversions)))
  else if (parameters === null && !problems.length) {
    await look(async () => {
      const { tensors } = await openCheckpoint(files)
      parameters = [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
    })
  }
  if (!empty && !files.has('tokenizer.json')) {
    problems.push({
      severity: 'error',
      code: 'file-missing',
      message: `${repo.name} has no tokenizer.json.`,
      hint: 'Save its tokenizer with transformers, or choose a repository that has the file.',
    })
  }
  const { name, sha, ...rest } = facts
  return {
    ...rest,
    source: { repo: name, ref, revision: sha },
    familyLabel,
    modelType,
    parameters,
    bytes,
    revisions,
    conversions,
    problems,
  }
}

/** Reads headers, configuration and tokenizer of a model on the Hub; weights are read when needed. */
export async function openHubModel(hub: Hub, session: Session, text: string, asked?: string): Promise<ModelSummary> {
  const { repo, ref } = designation(text, asked)
  const check = session.opening()
  const { sha, name, license } = await hub.facts(repo, ref)
  const listed = await hub.list(repo, sha, { recursive: false })
  if (!weightBytes(listed)) throw noWeights(repo, listed, await hub.conversions(repo, (await hub.refs(repo)).pulls))
  const source: HubOrigin = { repo: name, ref, revision: sha }
  const summary = await session.open(modelFiles(hub, repo, sha, listed), name.split('/').at(-1), source, check)
  return { ...summary, license: summary.license ?? license }
}

function designation(text: string, asked: string | undefined): { repo: Repo; ref: string } {
  const { name, revision } = parseRepo(asked ? `${parseRepo(text).name}@${asked}` : text)
  return { repo: { type: 'model', name }, ref: revision ?? 'main' }
}

/** @throws WorkbenchError `hub-answer` for a file name that not every system can store */
function modelFiles(hub: Hub, repo: Repo, sha: string, listed: HubFile[]): Files {
  const wanted = listed.filter(({ path, size }) => /^[^/]+\.safetensors$/.test(path) || (companions.test(path) && size <= maxCompanion))
  for (const { path } of wanted) {
    const why = unwritable(path)
    if (why)
      throw new WorkbenchError(
        'hub-answer',
        `${repo.name} has a file named ${JSON.stringify(path)}, which is refused: ${why}.`,
        'Choose another revision or repository.',
      )
  }
  return hub.files(repo, sha, wanted)
}

function noWeights({ name }: Repo, listed: HubFile[], conversions: { name: string }[]): WorkbenchError {
  const other = otherWeights(listed.map(({ path }) => path).filter((path) => !path.includes('/')))
  const what = other
    ? `${name} has its weights only as ${other.path} (${other.what}), which cannot be read.`
    : `${name} has no weights at this revision.`
  if (conversions.length) {
    return new WorkbenchError(
      'file-missing',
      `${what} A pull request contains them as safetensors.`,
      `Open ${name}@${conversions[0].name}; check the pull request first if you do not know its author.`,
    )
  }
  // The Hub's converter accepts pickles only.
  if (other && !/pickle/.test(other.what)) return new WorkbenchError('file-missing', what, other.hint)
  return new WorkbenchError(
    'file-missing',
    `${what} No pull request contains them as safetensors.`,
    other
      ? 'Request one from the Hub’s converter (the Space safetensors/convert), or load the model with transformers and save it with safe_serialization=True.'
      : 'Choose another revision or repository.',
  )
}
