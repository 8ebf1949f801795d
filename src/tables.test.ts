/** Tables that scripts write into documents. */
import { expect, test } from 'vitest'
import { boldLowest, markdown, mergedTable } from '../e2e/tables.ts'

const head = ['KL', '2 bits', '3 bits']
const before = markdown(head, [
  ['**ours**', '**0.5 ± 0.1**', '0.20 ± 0'],
  ['other', 'not made', '0.3 ± 0'],
])

test('figures that were made take the places of earlier ones, and all others stay', () => {
  const made = markdown(
    ['KL', '3 bits', '4 bits'],
    [
      ['other', '0.1 ± 0', '0.05 ± 0'],
      ['third', 'not made', 'cannot'],
    ],
  )
  const expected = markdown(
    [...head, '4 bits'],
    [
      ['**ours**', '**0.5 ± 0.1**', '0.20 ± 0', 'not made'],
      ['other', 'not made', '0.1 ± 0', '0.05 ± 0'],
      ['third', 'not made', 'not made', 'cannot'],
    ],
  )
  expect(mergedTable(before, made, 'not made')).toBe(expected)
  expect(mergedTable('', made, 'not made')).toBe(made)
})

test('the lowest figure of each column is bold, also where another one was', () => {
  const after = mergedTable(before, markdown(['KL', '2 bits'], [['other', '2e-7']]), 'not made')
  expect(boldLowest(after)).toBe(
    markdown(head, [
      ['**ours**', '0.5 ± 0.1', '**0.20 ± 0**'],
      ['other', '**2e-7**', '0.3 ± 0'],
    ]),
  )
})
