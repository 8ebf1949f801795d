/** The import map as a test: imports run one way, so that each folder can be read and changed by itself. */
import { expect, test } from 'vitest'

const lower = ['models/', 'quant/', 'eval/', 'gpu/', 'data/', 'io/']
/** What all rooms of the engine see. */
const root = [
  'host',
  'session',
  'open',
  'catalog',
  'texts',
  'hub',
  'control',
  'devices',
  'device-notes',
  'pace',
  'parking',
  'run-options',
  'job-file',
  'grams',
]
  .map((name) => `engine/${name}.ts`)
  .concat('engine/job/')

/** What the files of each folder may import besides their own folder, errors.ts, figure.ts, options.ts, overrides.ts and shares.ts. The longest match counts. */
const allowed: Record<string, string[]> = {
  'app/': ['engine/hosts/client.ts', 'engine/job/'],
  'cli.ts': ['cli/', 'engine/', 'scale/'],
  'cli/': ['engine/'],
  'scale/': [...lower, 'cli/', 'engine/'],
  'engine/': [...lower, ...root],
  // Plain data: of what lies below it takes the shapes, and how a data set and the columns of figures are named.
  'engine/job/': ['data/datasets.ts', 'data/figures.ts', 'type data/', 'type eval/', 'type gpu/', 'type io/'],
  'engine/plan/': [...lower, ...root],
  // A dry run is a run.
  'engine/plan/foresee.ts': [...lower, ...root, 'engine/plan/', 'engine/passes/', 'engine/run/'],
  'engine/keep/': [...lower, ...root, 'engine/plan/', 'type engine/passes/'],
  'engine/passes/': [...lower, ...root, 'engine/plan/', 'engine/keep/'],
  'engine/run/': [...lower, ...root, 'engine/plan/', 'engine/keep/', 'engine/passes/'],
  'engine/inspect/': [...lower, ...root, 'engine/plan/', 'engine/keep/', 'engine/passes/', 'engine/run/'],
  'engine/hosts/': [...lower, 'engine/'],
  'eval/': ['models/', 'gpu/', 'data/', 'io/'],
  // Linears that are stored as codes.
  'models/': ['gpu/', 'data/', 'io/', 'quant/linear.ts'],
  'quant/': ['gpu/'],
  'gpu/': ['shaders/'],
  'data/': ['io/'],
  'io/': [],
  'io/formats/': ['io/', 'type quant/'],
  'errors.ts': [],
  'figure.ts': [],
  'options.ts': [],
  'overrides.ts': [],
  'shares.ts': [],
}

const sources = import.meta.glob<string>(['/src/**/*.{ts,tsx}', '!/src/**/*.test.{ts,tsx}'], {
  query: '?raw',
  import: 'default',
  eager: true,
})

const importing = /(?:^(?:import|export)(?<type> type)?\s[^'"`;=]*?from |\bimport\(|^import )'(?<path>[^']+)'/gm

function problems(file: string, source: string): string[] {
  const folder = Object.keys(allowed).findLast((key) => file.startsWith(key))
  if (!folder) return [`${file} is in none of the folders of the map`]
  const found: string[] = []
  for (const { groups } of source.matchAll(importing)) {
    const { type, path } = groups!
    if (!path.startsWith('.') && !path.startsWith('/')) continue
    const target = new URL(path, `file:///src/${file}`).pathname.replace(/^\/(src\/)?/, '')
    const may = [folder, 'errors.ts', 'figure.ts', 'options.ts', 'overrides.ts', 'shares.ts', ...allowed[folder]]
    const fits = may.some((door) => target.startsWith(door) || (type && `type ${target}`.startsWith(door)))
    if (!fits) found.push(`${file} imports ${target}; it may import ${may.join(', ')}`)
    if (!/\.\w+(\?[\w&]+)?$/.test(path)) found.push(`${file} imports ${path} without its extension`)
  }
  return found
}

test('imports run one way', () => {
  expect(Object.entries(sources).flatMap(([path, source]) => problems(path.replace('/src/', ''), source))).toEqual([])
})

/** Files that import each other in a circle, types counted; each circle once, by the path that closes it. */
function circles(imports: Map<string, string[]>): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: string[]) => {
    const at = path.indexOf(file)
    if (at >= 0) found.push([...path.slice(at), file].join(' → '))
    if (at >= 0 || done.has(file)) return
    for (const next of imports.get(file) ?? []) visit(next, [...path, file])
    done.add(file)
  }
  for (const file of imports.keys()) visit(file, [])
  return found
}

test('no file imports itself by way of others', () => {
  const graph = Object.entries(sources).map(([file, source]): [string, string[]] => [
    file,
    [...source.matchAll(importing)].flatMap(({ groups }) => {
      const { path } = groups!
      return path.startsWith('.') && /\.tsx?$/.test(path) ? new URL(path, `file://${file}`).pathname : []
    }),
  ])
  expect(circles(new Map(graph))).toEqual([])
  expect(
    circles(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['a']],
      ]),
    ),
  ).toEqual(['a → b → c → a'])
})

test('the map catches what it forbids', () => {
  expect(problems('models/llama.ts', "import { rtn } from '../quant/rtn.ts'")).toHaveLength(1)
  expect(problems('quant/rtn.ts', "export type { A } from '../models/llama.ts'")).toHaveLength(1)
  expect(problems('app/main.tsx', "const run = await import('../engine/run/run.ts')")).toHaveLength(1)
  expect(problems('io/formats/gptq.ts', "import { pack } from '../../quant/rounding.ts'")).toHaveLength(1)
  expect(problems('io/blob.ts', "import './hub'")).toHaveLength(1)
  expect(
    problems('io/formats/gptq.ts', "import type {\n  Packed,\n} from '../../quant/linear.ts'\nimport { a } from '../bytes.ts'"),
  ).toEqual([])
  expect(problems('io/formats/gptq.ts', "/** What an export is. */\nimport type { A } from '../../quant/linear.ts'")).toEqual([])
  expect(problems('app/main.tsx', "import { a } from '../engine/hosts/client.ts'\nimport b from 'react'")).toEqual([])
})
