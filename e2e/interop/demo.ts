/** The demo model and the windows that everything is measured on. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { demoTexts } from '../../src/engine/hosts/demo.ts'
import { dawn, diskFile } from '../../src/engine/hosts/node.ts'
import type { Job, RunSpec } from '../../src/engine/job/job.ts'
import { examine } from '../../src/engine/plan/check.ts'
import { Session } from '../../src/engine/session.ts'
import { cache } from './clients.ts'

export const LENGTH = 64
export const WINDOWS = 8
export const demo = (name: string) => join('public', 'demo', name)
export const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json']

/** A job on the demo model, whose windows are written to tokens.json and calibration.json for the programs in Python. */
export async function demoPlan(runs: RunSpec[]) {
  const open = (name: string) => diskFile(demo(name))
  const session = new Session(dawn(), demoTexts(open))
  await session.open(new Map(await Promise.all(files.map(async (name) => [name, await open(name)] as const))))
  const base: Job = {
    runs,
    calibration: { text: 'demo-calibration', samples: 4, length: LENGTH, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: WINDOWS, length: LENGTH },
    seed: 0,
    perplexityEvery: 0,
    save: true,
  }
  const { check, plan } = await examine(base, session)
  await mkdir(cache, { recursive: true })
  for (const [name, windows] of [
    ['tokens', plan!.evaluation],
    ['calibration', plan!.calibration],
  ] as const)
    await writeFile(join(cache, `${name}.json`), JSON.stringify(windows.map((window) => [...window])))
  return { session, base, check }
}
