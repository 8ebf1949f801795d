/**
 * `npm run house [-- FOLDER]`: how tidy the code under src is, without its tests; a second checkout in FOLDER stands beside it.
 * Circles count imports of types, too.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

const isCode = (path) => /\.(ts|tsx|css)$/.test(path) && !/\.test\.tsx?$|\.d\.ts$|(^|\/)testing\.ts$|\/(fixtures|golden)\//.test(path)

function sources(root) {
  const folder = join(root, 'src')
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => path.replaceAll('\\', '/'))
  return new Map(paths.filter(isCode).map((path) => [join(folder, path), readFileSync(join(folder, path), 'utf8')]))
}

/** Functions of more than 50 lines, blank ones and comments left out: biome's rule counts. */
function longFunctions(root, files) {
  const biome = resolve('node_modules/@biomejs/biome/bin/biome')
  const rule = ['lint', '--only=complexity/noExcessiveLinesPerFunction', '--reporter=json', '--max-diagnostics=none', 'src']
  const { stdout } = spawnSync(process.execPath, [biome, ...rule], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 })
  return JSON.parse(stdout).diagnostics.filter(({ location }) => files.has(join(root, location.path)))
}

/** Files that can reach themselves by imports, gathered in the circles that they share. */
function circles(files) {
  const next = new Map()
  for (const [path, text] of files) {
    const found = [...text.matchAll(/^(?:import|export)\s[^'"`;]*?from '(\.[^']+)'|\bimport\('(\.[^']+)'\)/gm)]
    next.set(path, [...new Set(found.map((match) => resolve(dirname(path), (match[1] ?? match[2]).split('?')[0])))])
  }
  const reach = (start) => {
    const seen = new Set()
    const open = [...(next.get(start) ?? [])]
    while (open.length) {
      const file = open.pop()
      if (seen.has(file)) continue
      seen.add(file)
      open.push(...(next.get(file) ?? []))
    }
    return seen
  }
  const within = new Map([...files.keys()].map((path) => [path, reach(path)]))
  const members = [...files.keys()].filter((path) => within.get(path).has(path))
  return new Set(members.map((path) => members.filter((other) => within.get(path).has(other) && within.get(other).has(path)).join())).size
}

function largestFolder(paths) {
  const sizes = new Map()
  for (const path of paths) sizes.set(dirname(path), (sizes.get(dirname(path)) ?? 0) + 1)
  return Math.max(...sizes.values())
}

function measure(root) {
  const files = sources(root)
  const code = [...files].filter(([path]) => !path.endsWith('.css'))
  const count = (pattern) => code.reduce((sum, [, text]) => sum + (text.match(pattern)?.length ?? 0), 0)
  return {
    'files over 400 lines': [...files].filter(([, text]) => text.split('\n').length > 401).length,
    'longest file, lines': Math.max(...[...files].map(([, text]) => text.split('\n').length - 1)),
    'functions over 50 lines': longFunctions(root, files).length,
    'circles of files': circles(files),
    'casts through unknown': count(/\bas unknown as\b/g),
    'files in the largest folder of the engine': largestFolder([...files.keys()].filter((path) => path.includes('/src/engine/'))),
  }
}

const roots = [process.cwd(), ...process.argv.slice(2, 3)].map((path) => resolve(path))
const [here, other] = roots.map(measure)
for (const [name, value] of Object.entries(here)) console.log(`${name}: ${value}${other ? ` (there: ${other[name]})` : ''}`)
