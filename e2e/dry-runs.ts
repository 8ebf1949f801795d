/**
 * `npm run dry-runs [-- NAME ...]`: what every algorithm would take on models known by their config.json, and some on smaller cards, into
 * e2e/dry-runs/README.md; of named ones it prints the rows only.
 */
import { dryRuns, onCards, table } from './dry-runs/table.ts'
import { keepTable } from './tables.ts'

const names = process.argv.slice(2)
const made = table(await dryRuns(names))
const small = await onCards(names)
if (!names.length) {
  await keepTable('e2e/dry-runs/README.md', 'dry runs', made)
  await keepTable('e2e/dry-runs/README.md', 'small cards', small)
}
process.stdout.write(`${made}\n\n${small}\n`)
