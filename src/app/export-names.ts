/** Names of checkpoints as they are saved. */
import type { ModelSummary } from '../engine/job/model.ts'
import type { RunView } from './reduce.ts'

/**
 * A folder name for the checkpoint of each run: the model, the run, nothing that a file system minds, and never one name
 * for two runs, letters' case aside.
 */
export function exportNames(model: Pick<ModelSummary, 'name'>, runs: Pick<RunView, 'id' | 'label'>[]): Map<string, string> {
  const names = new Map<string, string>()
  const taken = new Set<string>()
  // In the order of the plan, whatever comes first on the page.
  const planned = [...runs].sort((a, b) => a.id.localeCompare(b.id, 'en', { numeric: true }))
  for (const { id, label } of planned) {
    const name = safeName(`${model.name}-${label}`) || 'checkpoint'
    let free = name
    for (let n = 2; taken.has(free.toLowerCase()); n++) free = `${name}-${n}`
    taken.add(free.toLowerCase())
    names.set(id, free)
  }
  return names
}

/** Bytes of a name that file systems take, less what is put behind it. */
const longestName = 200

function safeName(text: string): string {
  const name = text
    .normalize('NFC')
    .replaceAll('+', '-plus-')
    .replaceAll('%', '-percent-')
    .replace(/[^\p{L}\p{M}\p{N}._-]+/gu, '-')
    .replace(/-+/g, '-')
  let [kept, bytes] = ['', 0]
  for (const letter of name) {
    bytes += new TextEncoder().encode(letter).length
    if (bytes > longestName) break
    kept += letter
  }
  return kept.replace(/^[-.]+|[-.]+$/g, '')
}
