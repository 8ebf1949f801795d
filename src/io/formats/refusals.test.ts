/** What a refusal tells to choose: formats by their name and the id that --format takes, which hold the result. */
import { expect, test } from 'vitest'
import type { ExportPlan, ExportSettings } from './format.ts'
import { formats } from './index.ts'
import { someModel } from './testing.ts'

const settings = (change: Partial<ExportSettings>) =>
  ({ bits: 4, dtype: 'F16', dynamicSkips: [], actOrder: false, symmetric: false, groupSize: 32, ...change }) as ExportSettings
const planOf = (change: Partial<ExportSettings>, rest: Partial<ExportPlan> = {}, p = 96): ExportPlan => ({
  settings: settings(change),
  linears: [{ name: 'model.layers.0.l', q: 64, p, bits: 4, groups: 1, dtype: 'F16' }],
  levels: 'uniform',
  outliers: false,
  copied: [],
  changed: [],
  decoder: null,
  model: someModel,
  ...rest,
})

const faulty: [string, ExportPlan][] = [
  ['outliers', planOf({}, { outliers: true })],
  ['powers of two', planOf({}, { levels: 'powers' })],
  ['outliers on powers of two', planOf({}, { levels: 'powers', outliers: true })],
  ['act-order with groups', planOf({ actOrder: true })],
  ['groups that leave a rest', planOf({ groupSize: 64 })],
  ['odd rows', planOf({ groupSize: -1 }, {}, 90)],
  ['3 bits', planOf({ bits: 3 })],
]

test.each(faulty)('%s: every format named instead exists and holds it', (_, plan) => {
  const refused = formats.flatMap((format) => format.accepts(plan)?.instead ?? [])
  expect(refused.length).toBeGreaterThan(0)
  for (const instead of refused) {
    for (const [, label, id] of instead.matchAll(/“([^”]+)” \(([\w-]+)\)/g)) {
      const named = formats.find((format) => format.id === id)
      expect(named?.label, instead).toBe(label)
      expect(named!.accepts(plan), instead).toBeNull()
    }
    expect(instead).not.toContain('plain weights')
  }
})

test('act-order with groups: each refusal says that it can be turned off', () => {
  for (const format of formats) {
    const refusal = format.accepts(planOf({ actOrder: true }))
    if (refusal?.why.includes('act-order')) expect(refusal.instead, format.id).toMatch(/act-order off|off act-order/)
  }
})
