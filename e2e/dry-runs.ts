/** `npm run dry-runs`: what every algorithm would take on models known by their config.json, into e2e/dry-runs/README.md. */
import { dryRuns, table } from './dry-runs/table.ts'
import { keepTable } from './tables.ts'

const made = table(await dryRuns())
await keepTable('e2e/dry-runs/README.md', 'dry runs', made)
process.stdout.write(`${made}\n`)
