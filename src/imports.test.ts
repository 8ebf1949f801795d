/** The import map as a test: imports run one way, so that each folder can be read and changed by itself. */
import { expect, test } from 'vitest'

/** What the files of each folder may import besides their own folder, errors.ts and options.ts. The longest match counts. */
const allowed: Record<string, string[]> = {
  'app/': ['engine/client.ts', 'engine/job.ts'],
  'cli.ts': ['cli/', 'engine/'],
  'cli/': ['engine/'],
  'engine/': ['models/', 'quant/', 'eval/', 'gpu/', 'data/', 'io/'],
  'eval/': ['models/', 'gpu/', 'data/', 'io/'],
  'models/': ['gpu/', 'data/', 'io/'],
  'quant/': ['gpu/'],
  'gpu/': ['shaders/'],
  'data/': ['io/'],
  'io/': [],
  'io/formats/': ['io/', 'type quant/'],
  'errors.ts': [],
  'options.ts': [],
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
    const may = [folder, 'errors.ts', 'options.ts', ...allowed[folder]]
    const fits = may.some((door) => target.startsWith(door) || (type && `type ${target}`.startsWith(door)))
    if (!fits) found.push(`${file} imports ${target}; it may import ${may.join(', ')}`)
    if (!/\.\w+(\?[\w&]+)?$/.test(path)) found.push(`${file} imports ${path} without its extension`)
  }
  return found
}

test('imports run one way', () => {
  expect(Object.entries(sources).flatMap(([path, source]) => problems(path.replace('/src/', ''), source))).toEqual([])
})

test('the map catches what it forbids', () => {
  expect(problems('models/llama.ts', "import { rtn } from '../quant/rtn.ts'")).toHaveLength(1)
  expect(problems('quant/rtn.ts', "export type { A } from '../models/llama.ts'")).toHaveLength(1)
  expect(problems('app/main.tsx', "const run = await import('../engine/run.ts')")).toHaveLength(1)
  expect(problems('io/formats/gptq.ts', "import { pack } from '../../quant/grid.ts'")).toHaveLength(1)
  expect(problems('io/blob.ts', "import './hub'")).toHaveLength(1)
  expect(
    problems('io/formats/gptq.ts', "import type {\n  Packed,\n} from '../../quant/linear.ts'\nimport { a } from '../bytes.ts'"),
  ).toEqual([])
  expect(problems('io/formats/gptq.ts', "/** What an export is. */\nimport type { A } from '../../quant/linear.ts'")).toEqual([])
  expect(problems('app/main.tsx', "import { a } from '../engine/client.ts'\nimport b from 'react'")).toEqual([])
})
