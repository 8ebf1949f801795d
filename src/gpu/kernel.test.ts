/** What the shaders must not hold. */
import { expect, test } from 'vitest'

const shaders = import.meta.glob<string>('/shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true })

/** Variables that are declared in a loop without a value, by name. */
function unset(source: string): string[] {
  const found: string[] = []
  // Whether each open brace, or one around it, is that of a loop.
  const loops: boolean[] = []
  const plain = source.replace(/\/\/.*$/gm, '')
  for (const [token, name] of plain.matchAll(/\b(?:for|while)\b[^{;]*(?:;[^{;]*;[^{]*)?\{|\bloop\s*\{|\{|\}|\bvar (\w+)\s*:[^;={}]*;/g)) {
    if (token === '}') loops.pop()
    else if (name) found.push(...(loops.at(-1) ? [name] : []))
    else loops.push(token !== '{' || loops.at(-1) === true)
  }
  return found
}

test('every variable of a loop has a value: Dawn leaves it the one of the iteration before', () => {
  expect(Object.keys(shaders).length).toBeGreaterThan(60)
  expect(Object.entries(shaders).flatMap(([path, source]) => unset(source).map((name) => `${path}: ${name}`))).toEqual([])
})

test('such a variable is found', () => {
  expect(
    unset('fn main() { var a: f32; for (var i = 0u; i < 3u; i++) { var b: vec4f; if (b.x > 0.0) { var c: f32 = 0.0; var d: u32; } } }'),
  ).toEqual(['b', 'd'])
  expect(unset('fn main() { loop { var a: array<f32, 4>; break; } } fn other() { var b: f32; }')).toEqual(['a'])
})
