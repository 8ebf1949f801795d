import { expect, test } from 'vitest'
import { z } from './zod.ts'

const shape = z.object({
  size: z.int().positive().max(100).optional(),
  name: z.string().optional(),
  nested: z.object({ rate: z.number() }),
  list: z.array(z.boolean()).optional(),
})

test.each([
  [{}, 'nested: missing; it has to be an object'],
  [{ nested: {} }, 'nested.rate: missing; it has to be a number'],
  [{ nested: { rate: 1 }, size: 0 }, 'size: 0, where more than 0 is expected'],
  [{ nested: { rate: 1 }, size: 101 }, 'size: 101, where at most 100 is expected'],
  [{ nested: { rate: 1 }, size: 1.5 }, 'size: 1.5, where a whole number is expected'],
  [{ nested: { rate: '1' } }, 'nested.rate: "1", where a number is expected'],
  [{ nested: [] }, 'nested: [], where an object is expected'],
  [{ nested: { rate: 1 }, name: null }, 'name: null, where a text is expected'],
  [{ nested: { rate: 1 }, list: [true, 'x'] }, 'list.1: "x", where true or false is expected'],
])('says of %j what a reader needs', (given, expected) => {
  const [{ path, message }] = shape.safeParse(given).error!.issues
  expect(`${path.join('.')}: ${message}`).toBe(expected)
})
