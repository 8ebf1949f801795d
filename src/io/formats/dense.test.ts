import { describe, expect, test } from 'vitest'
import { bf16ToF32, f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { CheckpointWriter } from '../safetensors.ts'
import { dense, denseLayout } from './dense.ts'
import { type ExportSettings, type FloatDtype, modelDtype } from './index.ts'
import { someModel } from './testing.ts'

const plan = { name: 'm.x', q: 2, p: 3, bits: 3 as const, groups: 1 }
const given = [1, -0.5, 1e-7, 2.0009765625, -65504, 0]

/** Only the dtype matters here. */
const settingsIn = (dtype: FloatDtype) => ({ dtype }) as ExportSettings
const encode = (weights: Float32Array<ArrayBuffer>, dtype: FloatDtype) =>
  denseLayout.encode({ name: 'm.x', solved: null as never, weights: async () => weights }, settingsIn(dtype))

describe('plain weights', () => {
  test.each([
    ['F32', given.map(Math.fround), (bytes: Uint8Array<ArrayBuffer>) => new Float32Array(bytes.buffer)],
    ['F16', [1, -0.5, 2 * 2 ** -24, 2, -65504, 0], (bytes: Uint8Array<ArrayBuffer>) => f16ToF32(new Uint16Array(bytes.buffer))],
    ['BF16', [1, -0.5, 215 * 2 ** -31, 2, -65536, 0], (bytes: Uint8Array<ArrayBuffer>) => bf16ToF32(new Uint16Array(bytes.buffer))],
  ] as const)('of a model in %s are rounded to nearest, laid out [out, in], and read back', async (dtype, expected, decoded) => {
    const sink = memorySink()
    const own = { ...plan, dtype }
    const writer = new CheckpointWriter(sink, denseLayout.tensorsFor(own, settingsIn(dtype)))
    const { tensors, content } = await encode(Float32Array.from(given), dtype)
    for (const [name, bytes] of tensors) await writer.write(name, bytes)
    await writer.writeFile('config.json', new Blob(['{}']))
    await writer.finish()
    const read = await denseLayout.open(memoryFiles(sink.files))
    expect(Array.from(decoded(content[0] as Uint8Array<ArrayBuffer>))).toEqual(expected)
    expect(await read(own)).toEqual(content)
    expect(await read({ ...own, q: 3, p: 2 })).toBeNull()
    expect(await read({ ...own, dtype: dtype === 'F16' ? 'BF16' : 'F16' })).toBeNull()
    expect(await read({ ...own, name: 'm.y' })).toBeNull()
  })

  test('what the dtype cannot hold is refused by name', async () => {
    for (const value of [65520, -1e6, Number.NaN, Number.POSITIVE_INFINITY])
      await expect(encode(Float32Array.of(value), 'F16')).rejects.toThrow('m.x contains')
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
      await expect(encode(Float32Array.of(value), 'BF16')).rejects.toThrow('m.x contains')
    expect((await encode(Float32Array.of(1e6), 'BF16')).tensors.size).toBe(1)
  })

  test.each([
    ['BF16', 1e6, 'bfloat16'],
    ['F16', 100, 'float16'],
    ['F16', 65505, 'bfloat16'],
    ['F32', 1e6, 'float32'],
  ] as const)('the config stays an unquantized model’s: %s with states up to %s declares %s', (dtype, peak, name) => {
    const declared = dense.declares(dtype, peak)
    expect(declared).toBe(name)
    const plan = {
      settings: settingsIn(dtype),
      linears: [],
      levels: 'uniform',
      outliers: false,
      copied: [],
      changed: [],
      decoder: null,
      model: someModel,
    }
    const files = denseLayout.configFiles('{"a": 1, "dtype": "float64"}', plan, declared)
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
