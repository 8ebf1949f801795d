import { expect, test } from 'vitest'
import { describeVerdict, judge } from './recital.ts'

const next = (...tokens: [number, number][]) => tokens.map(([token, ahead]) => ({ token, ahead }))

test('the same tokens are the same', () => {
  const verdict = judge({ prompt: 3, said: [7, 8] }, { prompt: 3, next: next([7, 0], [8, 0]) })
  expect(verdict).toEqual({ kind: 'same', tokens: 2 })
  expect(describeVerdict(verdict).wrong).toBe(false)
})

test('a token that is hardly less likely is rounding, one that is much less likely is wrong, and only the first counts', () => {
  const said = [7, 9, 5]
  const after = (ahead: number) => judge({ prompt: 3, said }, { prompt: 3, next: next([7, 0], [8, ahead], [1, 30]) })
  expect(after(0.02)).toEqual({ kind: 'tie', tokens: 1, ahead: 0.02 })
  expect(after(2)).toEqual({ kind: 'other', tokens: 1, ahead: 2 })
  expect(describeVerdict(after(0.02)).wrong).toBe(false)
  expect(describeVerdict(after(2))).toEqual({ wrong: true, text: expect.stringContaining('2.00 nats') })
})

test('a prompt in other tokens is wrong whatever follows', () => {
  const verdict = judge({ prompt: 4, said: [7] }, { prompt: 3, next: next([7, 0]) })
  expect(verdict).toEqual({ kind: 'prompt', ours: 3, theirs: 4 })
  expect(describeVerdict(verdict).wrong).toBe(true)
})
