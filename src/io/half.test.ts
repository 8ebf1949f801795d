import { expect, test } from 'vitest'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './half.ts'

const all = Uint16Array.from({ length: 0x10000 }, (_, i) => i)

test('all 65536 float16 numbers survive the way to float32 and back', () => {
  expect(f32ToF16(f16ToF32(all))).toEqual(all)
})

test('float16 numbers have the value of their definition', () => {
  const values = f16ToF32(all)
  const wrong = all.filter((half, i) => {
    const sign = half & 0x8000 ? -1 : 1
    const exponent = (half >> 10) & 31
    const mantissa = half & 0x3ff
    if (exponent === 31) return mantissa ? !Number.isNaN(values[i]) : values[i] !== sign * Infinity
    const value = exponent ? (1 + mantissa / 1024) * 2 ** (exponent - 15) : (mantissa / 1024) * 2 ** -14
    return !Object.is(values[i], sign * value)
  })
  expect(wrong).toEqual(new Uint16Array())
})

test('rounds to nearest, ties to even, between every two neighbours', () => {
  for (let half = 0; half < 0x7bff; half++) {
    const [low, high] = f16ToF32(Uint16Array.of(half, half + 1))
    const middle = (low + high) / 2 // exact in float32: it has one bit more than a float16
    const bits = new Uint32Array(Float32Array.of(middle).buffer)
    const [below, above] = new Float32Array(Uint32Array.of(bits[0] - 1, bits[0] + 1).buffer)
    const even = half & 1 ? half + 1 : half
    const result = f32ToF16(Float32Array.of(below, middle, above, -below, -middle, -above))
    if (result.join() !== [half, even, half + 1, half | 0x8000, even | 0x8000, (half + 1) | 0x8000].join()) {
      expect.fail(`around ${half.toString(16)}: ${Array.from(result, (bits) => bits.toString(16))}`)
    }
  }
})

test('goes to infinity from 65520 on and keeps NaN', () => {
  const below = new Float32Array(Uint32Array.of(0x477fefff).buffer)[0]
  expect(f32ToF16(Float32Array.of(below, 65520, 3e38, Infinity, -Infinity))).toEqual(Uint16Array.of(0x7bff, 0x7c00, 0x7c00, 0x7c00, 0xfc00))
  expect(f32ToF16(new Float32Array(Uint32Array.of(0x7f800001).buffer))[0] & 0x3ff).not.toBe(0)
})

test('all 65536 bfloat16 numbers are the upper half of a float32', () => {
  const bits = new Uint32Array(bf16ToF32(all).buffer)
  expect(bits.every((value, i) => value === i * 0x10000)).toBe(true)
})

test('bfloat16 rounds to nearest, ties to even, and keeps NaN', () => {
  expect(f32ToBf16(bf16ToF32(all.filter((half) => (half & 0x7fff) <= 0x7f80)))).toEqual(all.filter((half) => (half & 0x7fff) <= 0x7f80))
  const words = Uint32Array.of(0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000, 0xbf818000, 0x7f7fffff, 0x7f800001)
  expect(f32ToBf16(new Float32Array(words.buffer))).toEqual(Uint16Array.of(0x3f80, 0x3f80, 0x3f81, 0x3f82, 0xbf82, 0x7f80, 0x7fc0))
})
