/** Python programs in environments of pinned packages, each told what to do by its arguments and answering by lines of JSON. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const here = 'e2e/interop'
export const cache = join('.cache', 'interop')
const python = 'python3.11'

/** Requirements that come as they are, and those whose own requirements of torch are passed over. */
export interface Environment {
  requirements: string
  loose?: string
}

/** The Python of an environment, which is made where it is missing. */
function environment({ requirements, loose }: Environment): string {
  const folder = join(cache, requirements.replace('.txt', ''))
  const own = join(folder, 'bin', 'python')
  const must = (program: string, ...args: string[]) => {
    const done = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (done.status !== 0) throw new Error(`${program} ${args.slice(0, 4).join(' ')} … ended with ${done.status}`)
  }
  const finished = join(folder, 'finished')
  if (existsSync(finished)) return own
  must(python, '-m', 'venv', folder)
  const file = join(here, requirements)
  if (loose) {
    // First without its requirements, then those that are no torch.
    must(own, '-m', 'pip', 'install', '-q', '--no-deps', '-r', file)
    const listed = `import importlib.metadata as m; print('\\n'.join(r for r in m.requires('${loose}') if not r.startswith('torch') and 'extra ==' not in r))`
    const rest = join(folder, 'rest.txt')
    must('sh', '-c', `"$0" -c "$1" > "$2"`, own, listed, rest)
    must(own, '-m', 'pip', 'install', '-q', 'torchvision', '-r', rest, '-c', file)
  } else must(own, '-m', 'pip', 'install', '-q', '-r', file)
  must('touch', finished)
  return own
}

/** Runs a script beside this file, and calls `hear` with each line of JSON that it prints. */
export async function runPython<T>(
  environmentOf: Environment,
  script: string,
  args: readonly string[],
  hear: (said: T) => void,
): Promise<void> {
  const child = spawn(environment(environmentOf), [join(here, script), ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const line of createInterface({ input: child.stdout })) {
    console.error(`${args[0]} ${line}`)
    hear(JSON.parse(line) as T)
  }
}

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
    await runPython<Measured>(client, 'clients.py', [client.id, cache, ...left], (said) => found.set(said.folder, said))
    left = left.filter((folder) => !found.has(folder))
    if (left.length) found.set(left[0], { folder: left[0], error: 'The process ended.' })
    left = left.slice(1)
  }
  return found
}
