import { expect, test } from 'vitest'
import * as format from './format.ts'

const plain = (text: string) => text.replaceAll('\u202f', ' ')

test('bytes keep three digits and a binary unit', () => {
  expect([0, 999, 1841328, 8 * 2 ** 30, 1.2 * 2 ** 30].map((value) => plain(format.bytes(value)))).toEqual([
    '0 bytes',
    '999 bytes',
    '1.76 MiB',
    '8.00 GiB',
    '1.20 GiB',
  ])
  expect(plain(format.bytesOf(1.2 * 2 ** 30, 8 * 2 ** 30))).toBe('1.20 of 8.00 GiB')
  expect(plain(format.bytesOf(20 * 2 ** 20, 8 * 2 ** 30))).toBe('20.0 MiB of 8.00 GiB')
  expect(plain(format.bytesOf(0, 8 * 2 ** 30))).toBe('0 of 8.00 GiB')
})

test('times are short below a minute and carry over above it', () => {
  expect([0.42, 4.21, 48, 92, 59.7, 3600, 7500].map((value) => plain(format.duration(value)))).toEqual([
    '0.42 s',
    '4.2 s',
    '48 s',
    '1 m 32 s',
    '1 m 00 s',
    '1 h 00 m',
    '2 h 05 m',
  ])
  expect(plain(format.clock(4.2))).toBe('0 m 04 s')
  expect(plain(format.clock(59.6))).toBe('1 m 00 s')
  expect(format.clock(null)).toBe('–')
})

test('perplexity has two decimals, and its change a sign and two digits of its error', () => {
  expect(format.perplexity(2.306)).toBe('2.31')
  expect(format.perplexity(84591.44)).toBe('84591')
  expect(format.perplexity(123456)).toBe('1.2e5')
  expect(format.perplexityChange(0.28, null)).toEqual({ text: '+0.28', error: null })
  expect(format.perplexityChange(-0.031, 0.5)).toEqual({ text: '−0.03', error: '0.50' })
  expect(format.perplexityChange(0.00487, 0.00213)).toEqual({ text: '+0.0049', error: '0.0021' })
  expect(format.perplexityChange(0.002, null)).toEqual({ text: '0.00', error: null })
  expect(format.perplexityChange(0, 0)).toEqual({ text: '0.00', error: '0.00' })
  expect(format.perplexityChange(1e6, 2e5)).toEqual({ text: '+1.0e6', error: '2.0e5' })
})

test('relative error is a fraction or a percentage', () => {
  expect(format.relativeError(0.0234, 'fraction')).toBe('0.023')
  expect(plain(format.relativeError(0.0234, 'percent'))).toBe('2.34 %')
  expect(plain(format.relativeError(0.00001, 'percent'))).toBe('0.00100 %')
})

test('counts of parameters, bits, percentages and shapes', () => {
  expect([918656, 1.1e9, 999_700_000, 4096].map((value) => plain(format.parameters(value)))).toEqual([
    '0.92 M',
    '1.10 B',
    '1.00 B',
    '4,096',
  ])
  expect(format.bitsPerWeight(2.246)).toBe('2.25')
  expect([plain(format.percent(0.999)), plain(format.percent(1.2))]).toEqual(['99 %', '100 %'])
  expect(format.shape([128, 384])).toBe('128\u2009×\u2009384')
  expect(format.plural(1, 'window')).toBe('1 window')
})

test('fractions are shown in percent, ratios as multiples', () => {
  expect([0.01, 0.005, 0.125, 0].map((value) => plain(format.fraction(value)))).toEqual(['1 %', '0.5 %', '12.5 %', '0 %'])
  expect([0.71, 1, 12.34, 0.001].map((value) => plain(format.ratio(value)))).toEqual(['× 0.71', '× 1.0', '× 12', '× 0.0010'])
})

test('numbers are read as people type them', () => {
  expect(['0.01', '1 %', '1%', '0,5', '2e-3', '-3'].map(format.parseNumber)).toEqual([0.01, 0.01, 0.01, 0.5, 0.002, -3])
  expect(['', 'x', '1.2.3', '%', '1,2,3'].map(format.parseNumber)).toEqual([null, null, null, null, null])
})

test('a whole number is never cut at the mark of its thousands', () => {
  const read = (texts: string[]) => texts.map(format.parseWhole)
  expect(read(['1,000', '1,234,567', "1'000", '1 000', '1\u202f000', '-1,000', '32', '1e3', ' 7 '])).toEqual([
    1000, 1234567, 1000, 1000, 1000, -1000, 32, 1000, 7,
  ])
  expect(
    read(['1,00', '1.000', '1.5', '1,5', '1,000.5', "1,000'000", '0,001', '50%', '', 'abc', '1e999']).every((value) => value === null),
  ).toBe(true)
})
