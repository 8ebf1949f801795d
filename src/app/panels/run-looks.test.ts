import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runColour, runDash, runShape } from './run-mark.tsx'

const css = readFileSync('src/app/tokens.css', 'utf8')
const forced = css.slice(css.indexOf('@media (forced-colors: active)'))
const runs = Array.from({ length: 12 }, (_, i) => `run-${i + 1}`)
/** What a custom property is set to, for light and for dark pages. */
function valuesOf(property: string, sheet = css): string[] {
  const [, value] = new RegExp(`${property}: ([^;]+);`).exec(sheet) ?? []
  return value?.startsWith('light-dark') ? value.slice(11, -1).split(', ') : [value, value]
}
const nameOf = (reference: string) => reference.slice(4, -1)

/** WCAG 2.2, relative luminance. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255)
  const linear = (part: number) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
}

test('twelve runs have twelve marks, and as many dashes where the system sets all colours', () => {
  expect(new Set(runs.map(runShape)).size).toBe(12)
  const dashes = runs.map((run) => valuesOf(nameOf(runDash(run)), forced)[0] ?? valuesOf(nameOf(runDash(run)))[0])
  expect(new Set(dashes).size).toBe(12)
})

test('runs of one colour differ in mark and dashes, and looks come from the run’s own number', () => {
  const looks = runs.map((run) => [runColour(run), runShape(run), valuesOf(nameOf(runDash(run)))[0]])
  for (const [i, [colour, shape, dash]] of looks.entries())
    for (const [other, otherShape, otherDash] of looks.slice(i + 1)) {
      if (colour !== other) continue
      expect(otherShape).not.toBe(shape)
      expect(otherDash).not.toBe(dash)
    }
  expect(runColour('run-3')).toBe('var(--run-3)')
  expect([runColour('run-11'), runShape('run-11')]).toEqual(['var(--run-3)', looks[10][1]])
})

test('every colour of a run stands out from light and dark pages', () => {
  for (const run of runs) {
    for (const [i, colour] of valuesOf(nameOf(runColour(run))).entries()) {
      const [a, b] = [luminance(colour), luminance(valuesOf('--surface')[i])].sort((x, y) => y - x)
      expect((a + 0.05) / (b + 0.05), `${run} ${colour}`).toBeGreaterThanOrEqual(3)
    }
  }
})
