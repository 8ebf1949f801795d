import { expect, test } from 'vitest'
import { sharesApart } from './shares.ts'

test('two shares have as many digits as tell them apart', () => {
  expect(sharesApart(0.062, 0.41)).toEqual(['6.2', '41.0'])
  expect(sharesApart(0.062121, 0.062124)).toEqual(['6.2121', '6.2124'])
  expect(sharesApart(0.5, 0.5)).toEqual(['50.0', '50.0'])
  expect(sharesApart(0.5, 0.5 + 1e-9)).toEqual(['50.0000', '50.0000'])
})
