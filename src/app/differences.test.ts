import { expect, test } from 'vitest'
import { differences } from './differences.ts'

test('a token differs only where full precision has spoken', () => {
  expect(differences([1, 2, 3], { ids: [1, 5], ended: false }, false)).toEqual([false, true, false])
  expect(differences([1, 2, 3], { ids: [1], ended: false }, false)).toEqual([false, false, false])
  expect(differences([1, 2, 3], { ids: [1, 2], ended: true }, false)).toEqual([false, false, true])
  expect(differences([1, 2, 3], { ids: [1, 2], ended: false }, true)).toEqual([false, false, true])
})
