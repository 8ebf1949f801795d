import { describe, expect, test } from 'vitest'
import { bf16ToF32, f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { CheckpointWriter, openCheckpoint } from '../safetensors.ts'
import { dense, readDenseLinear } from './dense.ts'
import { formatFor, modelDtype } from './index.ts'

const plan = { name: 'm.x', q: 2, p: 3, bits: 3 as const, groups: 1 }
const given = [1, -0.5, 1e-7, 2.0009765625, -65504, 0]

describe('plain weights', () => {
  test.each([
    ['F32', given.map(Math.fround), (bytes: Uint8Array<ArrayBuffer>) => new Float32Array(bytes.buffer)],
    ['F16', [1, -0.5, 2 * 2 ** -24, 2, -65504, 0], (bytes: Uint8Array<ArrayBuffer>) => f16ToF32(new Uint16Array(bytes.buffer))],
    ['BF16', [1, -0.5, 215 * 2 ** -31, 2, -65536, 0], (bytes: Uint8Array<ArrayBuffer>) => bf16ToF32(new Uint16Array(bytes.buffer))],
  ] as const)('of a model in %s are rounded to nearest, laid out [out, in], and read back', async (dtype, expected, decoded) => {
    const sink = memorySink()
    const writer = new CheckpointWriter(sink, dense.tensorsFor({ ...plan, dtype }))
    const linear = { q: 2, p: 3, dtype }
    for (const [name, bytes] of dense.encode('m.x', Float32Array.from(given), linear)) await writer.write(name, bytes)
    await writer.finish()
    const checkpoint = await openCheckpoint(memoryFiles(sink.files))
    expect(checkpoint.tensors.get('m.x.weight')).toMatchObject({ dtype, shape: [2, 3] })
    expect(Array.from(decoded((await readDenseLinear(checkpoint, 'm.x', linear)) as Uint8Array<ArrayBuffer>))).toEqual(expected)
    expect(await readDenseLinear(checkpoint, 'm.x', { q: 3, p: 2, dtype })).toBeNull()
    expect(await readDenseLinear(checkpoint, 'm.x', { q: 2, p: 3, dtype: dtype === 'F16' ? 'BF16' : 'F16' })).toBeNull()
    expect(await readDenseLinear(checkpoint, 'm.y', linear)).toBeNull()
  })

  test('what the dtype cannot hold is refused by name', () => {
    const linear = (dtype: 'F16' | 'BF16', value: number) => dense.encode('m.x', Float32Array.of(value), { dtype })
    for (const value of [65520, -1e6, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => linear('F16', value)).toThrow('m.x holds')
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) expect(() => linear('BF16', value)).toThrow('m.x holds')
    expect(linear('BF16', 1e6).size).toBe(1)
  })

  test.each([
    ['BF16', 1e6, 'bfloat16'],
    ['F16', 100, 'float16'],
    ['F16', 65505, 'bfloat16'],
    ['F32', 1e6, 'float32'],
  ] as const)('the config stays an unquantized model’s: %s with states up to %s declares %s', (dtype, peak, name) => {
    const declared = dense.declares(dtype, peak)
    expect(declared).toBe(name)
    const files = dense.configFiles('{"a": 1, "dtype": "float64"}', dense.configFor({} as never), declared)
    expect(files).toEqual([{ path: 'config.json', text: `{"a": 1, "dtype": "${name}"}` }])
  })
})

test.each([
  ['{"dtype": "bfloat16"}', 'F32', 'BF16'],
  ['{"torch_dtype": "torch.float16"}', 'F32', 'F16'],
  ['{"torch_dtype": "float32", "dtype": null}', 'BF16', 'F32'],
  ['{"torch_dtype": "auto"}', 'BF16', 'BF16'],
  ['{}', 'F16', 'F16'],
])('a model that says %s and stores %s is one in %s', (config, stored, dtype) => {
  expect(modelDtype(config, stored)).toBe(dtype)
})

test('results with outliers go to the format that holds them', () => {
  expect(formatFor(false).id).toBe('gptq')
  expect(formatFor(true).id).toBe('dense')
})
