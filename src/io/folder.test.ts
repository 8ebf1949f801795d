import { expect, test } from 'vitest'
import { openConfig, openFolder } from './folder.ts'
import { memoryFiles } from './memory.ts'
import { refusal, safetensors } from './testing.ts'

const weights = safetensors({ a: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } }, 1)
const gptq = { quant_method: 'gptq', bits: 3, group_size: 128, desc_act: false, sym: true, checkpoint_format: 'gptq' }
type Content = [string, string | Uint8Array<ArrayBuffer>]
const folder = (...more: Content[]) =>
  openFolder(memoryFiles([['model.safetensors', weights], ['config.json', '{"model_type":"llama"}'], ...more]))
const quantized = (config: unknown, ...more: Content[]) => folder(['config.json', JSON.stringify({ quantization_config: config })], ...more)

test('opens a chosen folder by its inner paths and takes its name', async () => {
  const text = '{"model_type": "llama", "rope_theta": 10000.0}'
  const opened = await openFolder(
    memoryFiles([
      ['.DS_Store', 'x'],
      ['up/SmolLM/.git/config', 'x'],
      ['up/SmolLM/config.json', text],
      ['up/SmolLM/model.safetensors', weights],
      ['up/SmolLM/tokenizer.json', '{}'],
    ]),
  )
  expect(opened).toMatchObject({ name: 'SmolLM', config: { model_type: 'llama' }, configText: text, packing: null, license: null })
  expect([...opened.files.keys()]).toEqual(['config.json', 'model.safetensors', 'tokenizer.json'])
  expect(opened.checkpoint.bytes).toBe(1)
})

test('a folder without a name takes it from the config', async () => {
  expect((await folder()).name).toBe('model')
  expect((await folder(['config.json', '{"_name_or_path":"owner/model-1b/"}'])).name).toBe('model-1b')
})

test('a config alone is one under any name, by what it holds', async () => {
  const config = '{"model_type":"qwen2","hidden_size":896}'
  const named = async (path: string, text: string) => (await openConfig(memoryFiles([[path, text]])))?.name ?? null
  expect(await named('config.json', config)).toBe('model')
  expect(await named('Qwen2.5-0.5B.json', config)).toBe('Qwen2.5-0.5B')
  expect(await named('config (1).json', config)).toBe('model')
  expect(await named('mine.json', '{"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"_name_or_path":"a/tiny"}')).toBe('tiny')
  for (const [path, text] of [
    ['generation_config.json', '{"_from_model_config":true}'],
    ['tokenizer.json', '{"model":{"type":"BPE"}}'],
    ['broken.json', '{"model_type"'],
    ['readme.txt', config],
  ])
    expect(await named(path, text), path).toBeNull()
})

test('everything but weights and configs travels along', async () => {
  const { otherFiles } = await folder(
    ['tokenizer.json', 'abc'],
    ['tokenizer.model', 'abcd'],
    ['LICENSE', ''],
    ['extra/modeling.py', 'p'],
    ['quantize_config.json', JSON.stringify(gptq)],
    ['pytorch_model.bin', 'x'],
    ['pytorch_model.bin.index.json', 'x'],
    ['original/consolidated.00.pth', 'x'],
    ['model-q4.gguf', 'x'],
    ['.gitattributes', 'x'],
    ['.cache/x.json', 'x'],
  )
  expect(otherFiles).toEqual([
    { name: 'LICENSE', bytes: 0 },
    { name: 'extra/modeling.py', bytes: 1 },
    { name: 'tokenizer.json', bytes: 3 },
    { name: 'tokenizer.model', bytes: 4 },
  ])
})

test.each([
  ['---\nlicense: apache-2.0\ntags: [x]\n---\n# Model\n', 'apache-2.0'],
  ['---\r\ntags: x\r\nlicense: "mit" \r\n---\r\n', 'mit'],
  ['---\nlicense:\n- mit\n---\n', null],
  ['---\ntags: x\n---\nlicense: mit\n', null],
  ['# Model\nlicense: mit\n', null],
  ['---\nlicense: mit\n', null],
])('reads the license of %j', async (card, license) => {
  expect((await folder(['README.md', card])).license).toBe(license)
})

test.each<[string, Content[], string, string]>([
  ['no config', [['model.safetensors', weights]], 'file-missing', 'config.json'],
  ['a config that is not JSON', [['config.json', '<html>']], 'config-invalid', 'config.json is a web page instead of the file itself'],
  ['a config that is a list', [['config.json', '[]']], 'config-invalid', 'config.json does not contain'],
  ['a config over the cap', [['config.json', `{"a":"${' '.repeat(5 << 20)}"}`]], 'config-invalid', 'config.json has 5242888 bytes'],
  ['pickled weights only', [['config.json', '{}'], ['pytorch_model.bin', 'PK']], 'file-missing', 'pytorch_model.bin'], // biome-ignore format: short
])('refuses a folder with %s', async (_, contents, code, message) => {
  const error = await refusal(() => openFolder(memoryFiles(contents)))
  expect(error.code).toBe(code)
  expect(error.message).toContain(message)
})

test('tells how to convert pickled weights', async () => {
  expect(
    (
      await refusal(() =>
        openFolder(
          memoryFiles([
            ['config.json', '{}'],
            ['a.bin', 'PK'],
          ]),
        ),
      )
    ).hint,
  ).toContain('safe_serialization')
})

// ---------------------------------------------------------------- quantized folders

const plain = { bits: 3, groupSize: 128, symmetric: true, actOrder: false, label: 'GPTQ v1', method: null }

test('recognises GPTQ by either config, or by both when they agree', async () => {
  const separate: Content = ['quantize_config.json', JSON.stringify(gptq)]
  expect((await quantized(gptq)).packing).toMatchObject(plain)
  expect((await folder(separate)).packing).toMatchObject(plain)
  expect((await quantized(gptq, separate)).packing).toMatchObject(plain)
})

test('reads what other writers leave out or add', async () => {
  // AutoGPTQ's quantize_config.json names no method and no format.
  const old = { bits: 4, group_size: -1, damp_percent: 0.01, desc_act: true, model_name_or_path: null, model_file_base_name: 'model' }
  expect((await folder(['quantize_config.json', JSON.stringify(old)])).packing).toMatchObject({
    ...plain,
    bits: 4,
    groupSize: -1,
    actOrder: true,
  })
  const ours = {
    ...gptq,
    sym: false,
    checkpoint_format: undefined,
    format: 'gptq_v2',
    dynamic: { '-:x': {} },
    meta: { algorithm: 'quantease' },
  }
  expect((await quantized(ours)).packing).toMatchObject({ ...plain, symmetric: false, label: 'GPTQ v2', method: 'quantease' })
  expect((await quantized({ ...gptq, desc_act: undefined })).packing).toMatchObject({ ...plain, actOrder: null })
  // Rules that repeat what the rest has change no width.
  for (const changes of [{}, null, { bits: 3, group_size: 128 }, { format: 'gptq', damp_percent: 0.05 }])
    expect((await quantized({ ...gptq, dynamic: { '+:.*down.*': changes } })).packing).toMatchObject(plain)
  // Whether a head is quantized, and how, the tensors say.
  for (const rule of ['lm_head', '+:lm_head', 'model.lm_head'])
    expect((await quantized({ ...gptq, lm_head: true, dynamic: { [rule]: { bits: 8, group_size: 32 } } })).packing).toMatchObject(plain)
  // So do rules that spell out what a config means that does not say otherwise.
  const spelled = { '+:.*down.*': { sym: true, format: 'gptq', pack_dtype: 'int32' } }
  expect((await quantized({ ...gptq, sym: undefined, checkpoint_format: undefined, dynamic: spelled })).packing).toMatchObject(plain)
  expect((await quantized({ ...gptq, meta: { algorithm: 7 }, dynamic: null })).packing).toMatchObject(plain)
  expect((await quantized({ ...gptq, meta: 'x' })).packing).toMatchObject(plain)
})

test.each([
  ['bits', { bits: 4 }, '4', '3'],
  ['group_size', { group_size: 64 }, '64', '128'],
  ['sym', { sym: false }, 'false', 'true'],
  ['desc_act', { desc_act: true }, 'true', 'false'],
  ['checkpoint_format', { checkpoint_format: 'gptq_v2' }, '"gptq_v2"', '"gptq"'],
])('refuses two configs that disagree about %s', async (field, change, separate, inside) => {
  const error = await refusal(() => quantized(gptq, ['quantize_config.json', JSON.stringify({ ...gptq, ...change })]))
  expect(error.code).toBe('config-invalid')
  expect(error.message).toContain(`${field} in quantize_config.json is ${separate}, but quantization_config.${field} is ${inside}.`)
  expect(error.hint).not.toMatch(/download/i)
})

test.each<[unknown, string, string]>([
  [{ quant_method: 'awq', bits: 8, group_size: 32 }, 'config-unsupported', 'by AWQ to 8 bits'],
  [{ quant_method: 'bitsandbytes', load_in_4bit: true }, 'config-unsupported', '"bitsandbytes"'],
  [{ load_in_8bit: true, llm_int8_threshold: 6 }, 'config-unsupported', '"bitsandbytes"'],
  [{ quant_method: 'fp8', weight_block_size: [128, 128] }, 'config-unsupported', '"fp8"'],
  [{ quant_method: 'compressed-tensors', config_groups: {} }, 'config-unsupported', 'config_groups are empty'],
  [{ ...gptq, bits: 5 }, 'config-unsupported', '5 bits'],
  [{ ...gptq, checkpoint_format: 'marlin' }, 'config-unsupported', '"marlin"'],
  [{ ...gptq, pack_dtype: 'int16' }, 'config-unsupported', '"int16"'],
  [{ ...gptq, dynamic: { '+:.*': { bits: 5 } } }, 'config-unsupported', 'sets bits to 5'],
  [{ ...gptq, dynamic: { '.*down.*': { group_size: 0 } } }, 'config-unsupported', 'sets group_size to what it cannot be'],
  [{ ...gptq, dynamic: { '.*down.*': { format: 'gptq_v2' } } }, 'config-unsupported', 'sets checkpoint_format to "gptq_v2"'],
  [{ ...gptq, dynamic: { '.*down.*': 8 } }, 'config-unsupported', 'dynamic rule'],
  [{ ...gptq, is_marlin_format: true }, 'config-unsupported', 'Marlin'],
  [{ ...gptq, quant_method: 'gptq_marlin' }, 'config-unsupported', 'Marlin'],
  [{ ...gptq, method: 'awq' }, 'config-unsupported', 'AWQ'],
  [{ w_bit: 4, q_group_size: 128, zero_point: true, version: 'GEMV' }, 'config-unsupported', 'AWQ'],
  [{ quant_method: 'mxfp4' }, 'config-unsupported', 'MXFP4'],
  [{ quant_method: 'exl3', bits: 4 }, 'config-unsupported', 'EXL3'],
  [
    { ...gptq, format: 'gptq_v2' },
    'config-invalid',
    'quantization_config.format is "gptq_v2", but quantization_config.checkpoint_format is "gptq"',
  ],
  [{ ...gptq, bits: '4' }, 'config-invalid', 'bits'],
  [{ ...gptq, group_size: 0 }, 'config-invalid', 'group_size'],
  [{ ...gptq, group_size: undefined }, 'config-invalid', 'group_size'],
  [{ ...gptq, sym: 1 }, 'config-invalid', 'sym'],
  ['gptq', 'config-invalid', 'quantization config'],
  [[], 'config-invalid', 'config.json'],
])('refuses the quantization config %j', async (config, code, message) => {
  const error = await refusal(() => quantized(config))
  expect(error.code).toBe(code)
  expect(error.message).toContain('config.json')
  expect(error.message).toContain(message)
  if (code === 'config-unsupported') expect(error.hint).toContain('GPTQ')
})

test.each([
  [{ quantization: { group_size: 64, bits: 4 }, quantization_config: { group_size: 64, bits: 4 } }, 'quantized already, by MLX'],
  [{ compression_config: { quant_method: 'sparseml' } }, 'quant_method is "sparseml"'],
])('refuses %j', async (config, message) => {
  expect(await refusal(() => folder(['config.json', JSON.stringify(config)]))).toMatchObject({
    code: 'config-unsupported',
    message: expect.stringContaining(message),
    hint: expect.stringContaining('GPTQ'),
  })
})

test('refuses a quantize_config.json that is not JSON', async () => {
  expect((await refusal(() => folder(['quantize_config.json', '{']))).message).toContain('quantize_config.json')
})
