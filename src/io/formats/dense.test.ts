import { describe, expect, test } from 'vitest'
import { f16ToF32 } from '../half.ts'
import { memoryFiles, memorySink } from '../memory.ts'
import { CheckpointWriter, openCheckpoint } from '../safetensors.ts'
import { dense, readDenseLinear } from './dense.ts'
import { formatFor } from './index.ts'

const plan = { name: 'm.x', q: 2, p: 3, bits: 3 as const, groups: 1 }

describe('plain float16', () => {
  test('weights are rounded to nearest, laid out [out, in], and read back', async () => {
    const weights = Float32Array.of(1, -0.5, 1e-7, 2.0009765625, -65504, 0)
    const sink = memorySink()
    const writer = new CheckpointWriter(sink, dense.tensorsFor(plan))
    for (const [name, bytes] of dense.encode('m.x', { q: 2, p: 3, weights })) await writer.write(name, bytes)
    await writer.finish()
    const checkpoint = await openCheckpoint(memoryFiles(sink.files))
    expect(checkpoint.tensors.get('m.x.weight')).toMatchObject({ dtype: 'F16', shape: [2, 3] })
    const bytes = (await readDenseLinear(checkpoint, 'm.x', plan))!
    expect(Array.from(f16ToF32(new Uint16Array(bytes.buffer)))).toEqual([1, -0.5, 2 * 2 ** -24, 2, -65504, 0])
    expect(await readDenseLinear(checkpoint, 'm.x', { q: 3, p: 2 })).toBeNull()
    expect(await readDenseLinear(checkpoint, 'm.y', plan)).toBeNull()
  })

  test('what float16 cannot hold is refused by name', () => {
    for (const value of [65520, -1e6, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => dense.encode('m.x', { q: 1, p: 1, weights: Float32Array.of(value) })).toThrow('m.x holds')
    }
  })

  test('the config stays an unquantized model’s, in float16', () => {
    const files = dense.configFiles('{"a": 1, "dtype": "bfloat16"}', dense.configFor({} as never))
    expect(files).toEqual([{ path: 'config.json', text: '{"a": 1, "dtype": "float16"}' }])
  })
})

test('results with outliers go to the format that holds them', () => {
  expect(formatFor(false).id).toBe('gptq')
  expect(formatFor(true).id).toBe('dense')
})
