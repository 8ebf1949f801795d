import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ModelSummary } from '../engine/job/model.ts'
import { addressOf, readAddress, samePlace, writeAddress } from './address.ts'

const at = (address: string) => readAddress(new URL(address, 'https://workbench.example/sub/'))
const summary = (source: ModelSummary['source']) => ({ source }) as ModelSummary

test('an address names a model, its revision and the step', () => {
  expect(at('?model=owner/name&revision=refs/pr/3#plan')).toEqual({ step: 'plan', hub: { repo: 'owner/name', revision: 'refs/pr/3' } })
  expect(at('?model=owner%2Fname')).toEqual({ step: null, hub: { repo: 'owner/name', revision: 'main' } })
  expect(at('?model=owner/name@v1')).toEqual({ step: null, hub: { repo: 'owner/name', revision: 'v1' } })
  expect(at('#results')).toEqual({ step: 'results', hub: null })
  expect(at('?model=#nowhere')).toEqual({ step: null, hub: null })
})

test('whatever it names is read back from it, and nothing else is in it', () => {
  const text = fc.string({ minLength: 1 }).filter((value) => value.trim() === value && !value.includes('@'))
  fc.assert(
    fc.property(text, text, fc.constantFrom('model' as const, 'plan' as const), (repo, revision, step) => {
      expect(at(writeAddress({ step, hub: { repo, revision } }))).toEqual({ step, hub: { repo, revision } })
    }),
    { seed: 20261125 },
  )
  expect(writeAddress({ step: 'model', hub: { repo: 'owner/name', revision: 'main' } })).toBe('?model=owner/name#model')
  expect(writeAddress({ step: 'run', hub: null })).toBe('#run')
})

test('only a model of the Hub is in it, also while it is read and when it is refused', () => {
  const hub = { repo: 'owner/name', revision: 'v1' }
  const source = { repo: 'owner/name', ref: 'v1', revision: '0'.repeat(40) }
  const error = { code: 'hub-denied' as const, message: '', hint: '' }
  const of = (model: Parameters<typeof addressOf>[0]['model']) => addressOf({ model, step: 'model' })
  expect(of({ state: 'none' })).toEqual({ step: 'model', hub: null })
  expect(of({ state: 'reading', name: 'x', hub, next: 'plan', before: 0 })).toEqual({ step: 'plan', hub })
  expect(of({ state: 'refused', name: 'x', hub, error })).toEqual({ step: 'model', hub })
  expect(of({ state: 'ready', summary: summary(source), demo: false })).toEqual({ step: 'model', hub })
  expect(of({ state: 'ready', summary: summary(null), demo: true })).toEqual({ step: 'model', hub: null })
  expect([samePlace(hub, { ...hub }), samePlace(hub, null), samePlace(null, null)]).toEqual([true, false, true])
})
