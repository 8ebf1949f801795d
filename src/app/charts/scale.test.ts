import { expect, test } from 'vitest'
import * as format from '../format.ts'
import { linearScale, tickText } from './scale.ts'

test('no two ticks of an axis have the same text', () => {
  const textsOf = (values: number[]) => {
    const { ticks } = linearScale(values)
    return ticks.map(tickText(ticks, format.perplexity))
  }
  expect(textsOf([2.021, 2.034])).toEqual(['2.020', '2.025', '2.030', '2.035'])
  // Where two digits tell them apart they stay.
  expect(textsOf([2, 3.9])).toEqual(['2.00', '2.50', '3.00', '3.50', '4.00'])
  expect(textsOf([2.016, 2.0268])).toEqual(['2.015', '2.020', '2.025', '2.030'])
  expect(textsOf([1e5, 1.001e5]).length).toBe(new Set(textsOf([1e5, 1.001e5])).size)
})
