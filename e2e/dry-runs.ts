/**
 * `npm run dry-runs [-- NAME ...]`: what every algorithm would take on models known by their config.json, into e2e/dry-runs/README.md;
 * of named ones it prints the rows only.
 */
import { dryRuns, table } from './dry-runs/table.ts'
import { keepTable } from './tables.ts'

const names = process.argv.slice(2)
const made = table(await dryRuns(names))
if (!names.length) await keepTable('e2e/dry-runs/README.md', 'dry runs', made)
process.stdout.write(`${made}\n`)
