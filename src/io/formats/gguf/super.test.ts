/** Super-blocks of GGUF against blocks that ggml's own dequantizers were asked about (e2e/oracle/make_blocks.py). */
import { expect, test } from 'vitest'
import type { SolvedLinear } from '../../../quant/linear.ts'
import { superTypes } from '../../../quant/grids/super.ts'
import { words } from '../../bits.ts'
import fixture from '../fixtures/super-blocks.json'
import { tensorTypes } from './file.ts'
import { packSuper, superTypeOf } from './super.ts'

type Name = keyof typeof fixture
const bytesOf = (hex: string) => Uint8Array.from(hex.match(/../g)!, (byte) => Number.parseInt(byte, 16))

/** Two rows of one super-block each. */
function solvedOf(name: Name): SolvedLinear {
  const { codes: hex, d, m, s, t } = fixture[name]
  const { bits, size, middle } = superTypes.find(({ id }) => id === name)!
  const [q, p] = [2, 256]
  const codes = new Uint32Array(words(p, bits) * q)
  for (const [i, code] of bytesOf(hex).entries()) {
    const [row, k] = [i >> 8, i & 255]
    for (let bit = 0; bit < bits; bit++) {
      const at = k * bits + bit
      if ((code >> bit) & 1) codes[(at >> 5) * q + row] |= 1 << (at & 31)
    }
  }
  const groups = p / size
  const grid = Float32Array.from({ length: 2 * groups * q }, (_, i) => {
    const [group, row] = [Math.floor(i / (2 * q)), (i >> 1) % q]
    const scale = d[row] * s[row][group]
    if (i % 2 === 0) return scale
    return middle ? -middle * scale : -m[row] * t[row][group]
  })
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / size))
  return { levels: name, bits, q, p, groupSize: size, groups, codes, grid, groupIndex, outliers: null }
}

test.each(Object.keys(fixture) as Name[])('%s is written as ggml reads it', (name) => {
  const type = superTypeOf(name)!
  const wanted = bytesOf(fixture[name].bytes)
  expect([...packSuper(solvedOf(name), type, null, 'x')]).toEqual([...wanted])
  const { bytes, length } = tensorTypes[type.type]
  expect([wanted.length, length]).toEqual([2 * bytes, 256])
  const swapped = packSuper(solvedOf(name), type, { band: 2, from: (row) => 1 - row }, 'x')
  expect([...swapped]).toEqual([...wanted.subarray(bytes), ...wanted.subarray(0, bytes)])
})

test('both sides of the engine mean the same types', () => {
  for (const { id, bits, size, least, top, middle, bytes } of superTypes) {
    expect(superTypeOf(id)).toMatchObject({ type: id.replace('k', 'K').replace('q', 'Q'), size, least, top, middle })
    expect(tensorTypes[superTypeOf(id)!.type].bytes).toBe(bytes)
    expect(bits).toBe(Number(id[1]))
  }
  expect(superTypeOf('uniform')).toBeUndefined()
})

test('cells that are no multiples, and groups out of their place, are told', () => {
  const type = superTypeOf('q4_k')!
  const solved = solvedOf('q4_k')
  expect(() => packSuper({ ...solved, grid: solved.grid.map((value, i) => (i === 4 ? value * 1.001 : value)) }, type, null, 'x')).toThrow(
    'no multiples',
  )
  expect(() => packSuper({ ...solved, groupIndex: solved.groupIndex.map((g, k) => (k === 9 ? 1 : g)) }, type, null, 'x')).toThrow(
    'fits no super-blocks',
  )
  const odd = solvedOf('q3_k')
  expect(() =>
    packSuper({ ...odd, grid: odd.grid.map((value, i) => (i === 1 ? value + 1 : value)) }, superTypeOf('q3_k')!, null, 'x'),
  ).toThrow('no multiples')
  // Nothing but zeros.
  expect(packSuper({ ...solved, grid: new Float32Array(solved.grid.length) }, type, null, 'x').subarray(0, 4)).toEqual(new Uint8Array(4))
})
