/** The dry runs that are on record are those that the engine foresees now. */
import { readdir, readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { dryRuns, table } from '../../../e2e/dry-runs/table.ts'
import { tableIn } from '../../../e2e/tables.ts'

it('the table of dry runs is up to date', { timeout: 300_000 }, async () => {
  const recorded = tableIn(await readFile('e2e/dry-runs/README.md', 'utf8'), 'dry runs').split('\n')
  // Two of them stand for all: each takes seconds.
  const made = table(await dryRuns(['opt-1.3b', 'falcon-7b'])).split('\n')
  for (const line of made) expect(recorded).toContain(line)
  const models = (await readdir('e2e/dry-runs')).filter((name) => name.endsWith('.json'))
  expect(recorded.length).toBe(4 + models.length)
})
