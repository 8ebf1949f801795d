/** What a sweep file expands to, and how each wrong one is told. */
import { expect, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { Session } from '../engine/session.ts'
import { exampleSweep, expand, readSweep, type Sweep } from './sweep-file.ts'

const { catalog } = new Session(undefined)
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const sweep = (changes: Partial<Sweep> = {}): Sweep => ({
  format: 'quantease-sweep',
  version: 1,
  models: ['demo'],
  methods: ['rtn'],
  ...changes,
})
const told = async (value: unknown) => {
  const { code, message, hint } = await refusal(async () => expand(readSweep(bytes(value), 'sweep.json'), catalog))
  return `${code}: ${message} ${hint}`
}

test('the example is a sweep of methods, presets and options without what is excluded', () => {
  const settings = expand(readSweep(bytes(exampleSweep), 'sweep.json'), catalog)
  expect(settings.map(({ method, options }) => [method, options.bits, options.iterations ?? null, options.outlier ?? null])).toEqual([
    ['rtn', 4, null, null],
    ['gptq', 3, null, null],
    ['gptq', 4, null, null],
    ['quantease', 3, 5, null],
    ['quantease', 4, 5, null],
    ['quantease', 3, 5, 0.01],
    ['quantease', 4, 5, 0.01],
  ])
})

test('an exclusion that takes nothing out is told', () => {
  const notes: string[] = []
  const exclude = [
    { method: 'rtn', bits: 4 },
    { method: 'rtn', bits: 2 },
  ]
  expect(expand(sweep({ options: { bits: [3, 4] }, exclude }), catalog, (note) => notes.push(note))).toHaveLength(1)
  expect(notes).toEqual([expect.stringMatching(/\{"method":"rtn","bits":2\} of "exclude" takes nothing out/)])
})

test('texts of a model stand before those of the sweep, and a method takes of the common options what it has', () => {
  const own = { model: 'm', calibration: { text: 'own.txt', samples: 3 } }
  const given = sweep({ models: ['demo', own], calibration: { text: 'all.txt', length: 9 }, seed: [1, 2], options: { iterations: [5, 6] } })
  const settings = expand(given, catalog)
  // RTN has no iterations: one setting a seed and model.
  expect(settings.map(({ model, job }) => [model, job.seed, job.calibration.text, job.calibration.samples, job.evaluation.length])).toEqual(
    [
      ['demo', 1, 'all.txt', 128, 9],
      ['demo', 2, 'all.txt', 128, 9],
      ['m', 1, 'own.txt', 3, 9],
      ['m', 2, 'own.txt', 3, 9],
    ],
  )
})

test.each([
  ['no sweep', { format: 'other' }, /is no sweep file/],
  ['an unknown member', { ...sweep(), colour: 1 }, /no valid sweep file.*colour/],
  [
    'an unknown member of a text',
    { ...sweep(), calibration: { chatTemplate: true } },
    /calibration: Unrecognized key: "chatTemplate"\. It can have text, column, chat, samples, length, sampling, heldOut\.$/,
  ],
  [
    'an unknown member of a model',
    { ...sweep(), models: ['demo', { model: 'm', text: 'x' }] },
    /models\.1: Unrecognized key: "text"\. It can have model, calibration, evaluation\.$/,
  ],
  ['a value of another type', sweep({ options: { bits: '3' } }), /bits of rtn: Bits can be 2, 3, 4 or 8, not the text "3"/],
  ['an unknown option', sweep({ options: { wbits: 3 } }), /option "wbits", which no method has\. It is called "bits"/],
  ['an option that no method has', sweep({ options: { depth: 3 } }), /"depth", which no method has\. Options are .*\bbits, /],
  ['an option of another method', sweep({ methods: [{ method: 'rtn', options: { iterations: 3 } }] }), /gives rtn an option "iterations"/],
  ['a value that cannot be', sweep({ options: { bits: [3, 5] } }), /bits of rtn: Bits can be 2, 3, 4 or 8, not 5/],
  ['an unknown method', sweep({ methods: ['magic'] }), /no method "magic"\. Methods are .*quantease/],
  [
    'an unknown preset',
    sweep({ methods: [{ method: 'rtn', presets: ['constructor'] }] }),
    /preset "constructor", which "presets" does not define/,
  ],
  ['an unknown format', sweep({ formats: ['zip'] }), /no format "zip"/],
  ['an unknown device', sweep({ device: 'abacus' }), /no device "abacus"/],
  ['nothing left', sweep({ exclude: [{ method: 'rtn' }] }), /Nothing is left/],
  ['an exclusion by an unknown name', sweep({ exclude: [{ metod: 'rtn' }] }), /"exclude" names an option "metod"/],
  [
    'too many jobs',
    sweep({
      methods: ['quantease'],
      options: { iterations: Array.from({ length: 200 }, (_, i) => i + 1), outlier: Array(100).fill(0.01) },
    }),
    /more than 10000 jobs/,
  ],
])('%s is told', async (_, value, words) => {
  expect(await told(value)).toMatch(words)
})
