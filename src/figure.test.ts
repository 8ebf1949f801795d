import { expect, test } from 'vitest'
import { figure } from './figure.ts'

test('figures have as many significant digits everywhere, and exponents only where zeros would take their place', () => {
  expect([0, 0.114, 0.1, 0.00999, 0.001, 0.00099, 4.2e-5, 2.345, 99.6, 1234, 99999, 123456, -0.5].map((value) => figure(value))).toEqual([
    ...['0', '0.11', '0.10', '0.010', '0.0010', '9.9e-4', '4.2e-5', '2.3', '100', '1234', '1.0e5', '1.2e5', '-0.50'],
  ])
  expect([figure(0.12345, 4), figure(0.2, 1), figure(10, 1), figure(1e-4, 1), figure(204051.2, 6)]).toEqual([
    '0.1235',
    '0.2',
    '10',
    '1e-4',
    '204051',
  ])
})
