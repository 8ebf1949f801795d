/** Python programs in environments of pinned packages, each told what to do by its arguments and answering by lines of JSON. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'

const python = 'python3.11'

/** Where the environments and the files of a folder's scripts go. */
export const cacheOf = (folder: string) => join('.cache', basename(folder))

export interface Environment {
  /** Path of a file of pinned packages. */
  requirements: string
  /** A package whose own requirements of torch are passed over. */
  loose?: string
}

/** The Python of an environment, which is made where it is missing. */
function environment({ requirements, loose }: Environment): string {
  const folder = join(cacheOf(dirname(requirements)), basename(requirements, '.txt'))
  const own = join(folder, 'bin', 'python')
  const must = (program: string, ...args: string[]) => {
    const done = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    if (done.status !== 0) throw new Error(`${program} ${args.slice(0, 4).join(' ')} … ended with ${done.status}`)
  }
  const finished = join(folder, 'finished')
  if (existsSync(finished)) return own
  must(python, '-m', 'venv', folder)
  if (loose) {
    // First without its requirements, then those that are no torch.
    must(own, '-m', 'pip', 'install', '-q', '--no-deps', '-r', requirements)
    const listed = `import importlib.metadata as m; print('\\n'.join(r for r in m.requires('${loose}') if not r.startswith('torch') and 'extra ==' not in r))`
    const rest = join(folder, 'rest.txt')
    must('sh', '-c', `"$0" -c "$1" > "$2"`, own, listed, rest)
    must(own, '-m', 'pip', 'install', '-q', 'torchvision', '-r', rest, '-c', requirements)
  } else must(own, '-m', 'pip', 'install', '-q', '-r', requirements)
  must('touch', finished)
  return own
}

/** Runs a script, and calls `hear` with each line of JSON that it prints. */
export async function runPython<T>(
  environmentOf: Environment,
  script: string,
  args: readonly string[],
  hear: (said: T) => void,
): Promise<void> {
  const child = spawn(environment(environmentOf), [script, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
  for await (const line of createInterface({ input: child.stdout })) {
    console.error(`${args[0]} ${line}`)
    hear(JSON.parse(line) as T)
  }
}
