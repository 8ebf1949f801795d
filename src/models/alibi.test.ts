import { expect, test } from 'vitest'
import { alibiSlopes, alibiTable, falconAlibiTable } from './alibi.ts'

test('slopes of the paper for powers of two, and every other slope of twice as many for the rest', () => {
  expect(alibiSlopes(8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((i) => 2 ** -i))
  expect(alibiSlopes(1)).toEqual([2 ** -8])
  // 12 = 8 + 4: the first, third, fifth and seventh of the 16 slopes 2^(−i/2).
  expect(alibiSlopes(12)).toEqual([...alibiSlopes(8), ...[1, 3, 5, 7].map((i) => 2 ** (-i / 2))])
  // BLOOM-176B.
  expect(alibiSlopes(112)).toHaveLength(112)
  expect(alibiSlopes(112)[111]).toBe(2 ** (-8 * (95 / 128)))
})

test('positions times slopes, in float32', () => {
  const table = alibiTable(3, 5)
  expect(Array.from(table.subarray(5, 10))).toEqual([0, 1, 2, 3, 4].map((j) => j * 2 ** -8))
})

test('Falcon rounds slope, position and product to bfloat16', () => {
  const [heads, t, d] = [9, 2048, 16]
  const table = falconAlibiTable(heads, t, d)
  // (slopes[..., None].bfloat16() * torch.arange(2048)).float() / 4, by PyTorch: head 8 has the slope 2^-0.5 = 0.70703125.
  const at = (h: number, j: number) => table[h * t + j]
  expect([at(8, 1), at(8, 3), at(8, 257), at(8, 1001), at(8, 2047)]).toEqual([0.1767578125, 0.53125, 45.25, 177, 362])
})
