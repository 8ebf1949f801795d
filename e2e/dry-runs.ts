/** `npm run dry-runs`: what every algorithm would take on models known by their config.json, into the README. */
import { readFile, writeFile } from 'node:fs/promises'
import { dryRuns, table, withTable } from './dry-runs/table.ts'

const made = table(await dryRuns())
await writeFile('README.md', withTable(await readFile('README.md', 'utf8'), made))
process.stdout.write(`${made}\n`)
