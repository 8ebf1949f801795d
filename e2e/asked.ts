/** The model and the texts that a script's arguments name, or else those of the demo. */
import { basename, join, resolve } from 'node:path'
import { demoFiles, demoTexts } from '../src/engine/hosts/demo.ts'
import { dawn, diskFile, diskFolder, textFile } from '../src/engine/hosts/node.ts'
import { Session } from '../src/engine/session.ts'

const demo = (name: string) => diskFile(join('public', 'demo', name))

/** `model`: a folder; `dataset`, `eval`: files of calibration and evaluation text. The texts come back by their ids. */
export async function openAsked(asked: { model?: string; dataset?: string; eval?: string }) {
  const session = new Session(dawn(), demoTexts(demo))
  if (asked.model) await session.open(await diskFolder(asked.model), basename(resolve(asked.model)))
  else await session.open(await demoFiles(demo), 'demo model')
  const text = async (path: string | undefined, builtin: string) => (path ? session.texts.add(await textFile(path)).id : builtin)
  const calibration = await text(asked.dataset, 'demo-calibration')
  return { session, calibration, evaluation: await text(asked.eval, 'demo-evaluation') }
}
