/** What other programs say of checkpoints. */
import { join } from 'node:path'
import { cacheOf, type Environment, runPython } from '../python.ts'

export const here = 'e2e/interop'
export const cache = cacheOf(here)

export interface Measured {
  folder: string
  perplexity?: number
  difference?: number
  error?: string
}

/** What a client says of checkpoints; one that takes the whole process down is told as such. */
export async function measure(client: Environment & { id: string }, folders: readonly string[]): Promise<Map<string, Measured>> {
  const found = new Map<string, Measured>()
  let left = [...folders]
  while (left.length) {
    await runPython<Measured>(client, join(here, 'clients.py'), [client.id, cache, ...left], (said) => found.set(said.folder, said))
    left = left.filter((folder) => !found.has(folder))
    if (left.length) found.set(left[0], { folder: left[0], error: 'The process ended.' })
    left = left.slice(1)
  }
  return found
}
