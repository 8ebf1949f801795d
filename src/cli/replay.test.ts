import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test, vi } from 'vitest'
import type { JobReport } from '../engine/job/report.ts'
import { refusal } from '../io/testing.ts'
import { Given } from './arguments.ts'
import { reportFile } from './replay.ts'

const base = await mkdtemp(join(tmpdir(), 'workbench-report-'))
afterAll(() => rm(base, { recursive: true, force: true }))
afterEach(() => vi.restoreAllMocks())

const path = join(base, 'report.json')
const claim = (overwrite = false) => reportFile(new Given({ report: path, overwrite }))
const report = (seed: number) => ({ seed }) as unknown as JobReport

/** Claims the file, and leaves without a report. */
async function leave(overwrite = false): Promise<void> {
  const once = vi.spyOn(process, 'once').mockReturnThis()
  await claim(overwrite)
  for (const [event, act] of once.mock.calls) if (String(event) === 'exit') act()
  once.mockRestore()
}

test('a report is written when there is one, and a refused run leaves the place as it was', async () => {
  await leave()
  expect(await readdir(base)).toEqual([])
  // As after a kill.
  await writeFile(path, '')
  await (await claim())!(report(1))
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ seed: 1 })
  expect((await refusal(() => claim())).message).toContain('report.json is there already')
  await leave(true)
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ seed: 1 })
  await (await claim(true))!(report(2))
  expect(await readFile(path, 'utf8')).toBe('{\n  "seed": 2\n}\n')
  expect((await refusal(() => reportFile(new Given({ report: base })))).message).toContain('is no file')
  expect((await refusal(() => reportFile(new Given({ report: join(path, 'x') })))).message).toContain('cannot be written')
})
