/** Opens the model and the texts of a job: from a folder, files, the Hub, or the demo. */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { demoFiles } from '../engine/hosts/demo.ts'
import type { NoteStore } from '../engine/device-notes.ts'
import { diskCacheFolder, diskNotes, diskParking } from '../engine/hosts/disk.ts'
import { diskFile, diskFolder, textFile } from '../engine/hosts/node.ts'
import { defaultCacheBudget, type Hub, openHub, openHubModel } from '../engine/hub.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import { isDatasetId, type TextChoice } from '../engine/job/texts.ts'
import type { Parking } from '../engine/parking.ts'
import type { Session } from '../engine/session.ts'
import { WorkbenchError } from '../errors.ts'
import { datasetsOf, type Given, textHelpOf, UsageError } from './arguments.ts'
import type { Asked } from './asked.ts'
import type { Speaker } from './speaker.ts'

/** A file of the demo. */
export const demo = (name: string) => diskFile(join('public', 'demo', name))

/** A model is on the Hub where no folder has that name. */
export function isRemote(model: string): boolean {
  const remote = model !== 'demo' && !existsSync(model)
  if (remote && (!/^[^/\\]+\/[^/\\@]+(@.+)?$/.test(model) || model.startsWith('.')))
    throw new WorkbenchError(
      'file-missing',
      `There is no folder ${resolve(model)}.`,
      'Give a model folder, or owner/name[@revision] on the Hub.',
    )
  return remote
}

export async function openModel(session: Session, hub: Hub, model: string): Promise<ModelSummary> {
  if (isRemote(model)) return openHubModel(hub, session, model)
  if (model === 'demo') return session.open(await demoFiles(demo), 'Demo model')
  return session.open(await diskFolder(model), basename(resolve(model)))
}

const cacheFolder = (given: Given) =>
  given.text('cache') ?? join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'quantease-workbench')

/** Where the program keeps what it finds out about devices, and how long runs took on them; null where nothing is to be kept. */
export const notesPlace = (given: Given): NoteStore | null =>
  given.whole('cache-gb', defaultCacheBudget / 1e9, 0) ? diskNotes(cacheFolder(given)) : null

/** Where values of a run wait beside the GPU. */
export function parkingPlace(given: Given): Parking {
  const limit = given.measure('host-memory')
  return diskParking(cacheFolder(given), limit === null ? undefined : limit * 2 ** 30)
}

/** The Hub; no request is made yet. */
export function connect(given: Given, say?: Pick<Speaker, 'network'>): Hub {
  const url = given.text('hub-url')
  const budget = given.whole('cache-gb', defaultCacheBudget / 1e9, 0)
  const hub = openHub({ url, cache: budget ? { store: diskCacheFolder(cacheFolder(given)), budget: budget * 1e9 } : undefined })
  hub.network.setToken(process.env.HF_TOKEN ?? null)
  if (say) hub.network.listen((event) => say.network(event))
  return hub
}

/** The texts to calibrate on and to measure on. */
export async function chooseTexts(session: Session, given: Given, { model, measureOnly }: Asked) {
  const { texts } = session.catalog
  const choose = async (flag: 'dataset' | 'eval', builtin: string): Promise<TextChoice> => {
    const name = given.text(flag)
    if (name) return namedText(session, name)
    if (model === 'demo') return { text: builtin }
    if (flag === 'dataset' && measureOnly) return { text: '' }
    // The published script has no argument for the evaluation text either: it measures on WikiText-2.
    if (flag === 'eval' && datasetsOf(texts).includes(given.text('dataset') ?? '')) return { text: 'wikitext2' }
    throw new UsageError(`--${flag} is needed: ${textHelpOf(texts)}.`)
  }
  const evaluation = await choose('eval', 'demo-evaluation')
  return { evaluation, calibration: await choose('dataset', 'demo-calibration') }
}

/** A data set by name, or a file, optionally with a colon and the column or field of the text. */
export async function namedText(session: Session, given: string): Promise<TextChoice> {
  if (datasetsOf(session.catalog.texts).includes(given)) return { text: given }
  const [, before, after] = /^(.+):([^:]+)$/.exec(given) ?? []
  const [file, column] = before !== undefined && !existsSync(given) && existsSync(before) ? [before, after] : [given]
  if (isDatasetId(given) && !existsSync(file)) return { text: given }
  return { text: session.texts.add(await textFile(file)).id, column }
}
