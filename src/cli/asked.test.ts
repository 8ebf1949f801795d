/** Arguments that a job is made of. */
import { expect, it } from 'vitest'
import { catalog } from '../engine/catalog.ts'
import { readArguments } from './arguments.ts'
import { understand } from './asked.ts'

it('products are f32 unless f16 is asked for, and nothing else', () => {
  const all = { ...catalog(), texts: [] }
  const asked = (...args: string[]) => understand(all, readArguments(all, ['--model', 'demo', ...args])).products
  expect([asked(), asked('--products', 'f32'), asked('--products', 'f16')]).toEqual(['f32', 'f32', 'f16'])
  expect(() => asked('--products', 'bf16')).toThrow('--products can be f32, f16, not "bf16"')
})
