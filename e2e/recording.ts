/**
 * `npm run recording`: runs the page's demo job and keeps its results in public/demo/recording.json, which the page shows where it has no
 * GPU. Figures are rounded to six digits, so that the file is small.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { firstJob } from '../src/app/plan.ts'
import { Control } from '../src/engine/control.ts'
import { demoFiles, demoTexts } from '../src/engine/hosts/demo.ts'
import { dawn, diskFile, headless, memoryStore } from '../src/engine/hosts/node.ts'
import type { ModelSummary } from '../src/engine/job/model.ts'
import type { JobReport } from '../src/engine/job/report.ts'
import { runJob } from '../src/engine/run/run.ts'
import { Session } from '../src/engine/session.ts'

/** What the file holds. */
export interface Recording {
  model: ModelSummary
  report: JobReport
}

const demo = (name: string) => diskFile(join('public', 'demo', name))

async function main(): Promise<void> {
  const session = new Session(dawn(), demoTexts(demo))
  const { catalog } = session
  const model = await session.open(await demoFiles(demo), 'Demo model')
  const job = { ...firstJob(catalog, catalog.texts, model, true), save: false }
  const report = await runJob(
    job,
    {
      session,
      control: new Control(),
      emit: (event) => event.type === 'run-end' && console.error(`${event.result.run}: ${event.result.state}`),
      sink: () => Promise.reject(new Error('This job writes nothing.')),
      journal: memoryStore(),
    },
    { origin: { kind: 'demo' } },
  )
  const made: Recording = { model, report }
  const short = (_: string, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
  writeFileSync(join('public', 'demo', 'recording.json'), `${JSON.stringify(made, short)}\n`)
}

headless(main)
