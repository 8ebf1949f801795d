/** One sentence for each kind of thing that is not a model. */
import { describe, expect, test } from 'vitest'
import { openFolder } from './folder.ts'
import { memoryFiles } from './memory.ts'
import { refusal, safetensors } from './testing.ts'

const bytes = (...values: (number | string)[]) => {
  const all = values.flatMap((value) => (typeof value === 'string' ? [...new TextEncoder().encode(value)] : [value]))
  return new Uint8Array([...all, ...Array(600).fill(1)])
}
const weights = safetensors({ a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, 4)
type Content = [string, string | Uint8Array<ArrayBuffer>]

const said = async (contents: Content[], name?: string) => {
  const { code, message, hint } = await refusal(() => openFolder(memoryFiles(contents), name))
  expect(code).toBe('file-missing')
  return { message, hint }
}

describe('a file by itself', () => {
  test.each<[string, Uint8Array<ArrayBuffer> | string, string, RegExp]>([
    ['photo.png', bytes(0x89, 'PNG\r\n'), 'photo.png is a PNG picture, not a model.', /folder/],
    ['scan', bytes(0xff, 0xd8, 0xff), 'scan is a JPEG picture, not a model.', /folder/],
    ['paper.pdf', bytes('%PDF-1.7'), 'paper.pdf is a PDF document, not a model.', /folder/],
    ['model.zip', bytes('PK', 3, 4), 'model.zip is a zip archive', /Unpack/],
    ['pytorch_model.bin', bytes('PK', 3, 4), 'pytorch_model.bin is a PyTorch pickle', /save_pretrained/],
    ['consolidated.00.pth', bytes('PK', 3, 4), 'consolidated.00.pth is a PyTorch pickle', /save_pretrained/],
    ['tiny.Q4_K_M.gguf', bytes('GGUF'), 'tiny.Q4_K_M.gguf is GGUF, the format of llama.cpp', /made from/],
    ['renamed', bytes('GGUF'), 'renamed is GGUF, the format of llama.cpp', /made from/],
    ['model.onnx', bytes(8, 7), 'model.onnx is ONNX', /made from/],
    ['tf_model.h5', bytes(0x89, 'HDF\r\n'), 'tf_model.h5 is weights of another framework', /made from/],
    ['model-00001-of-00003.safetensors', weights, 'number 1 of 3', /whole folder/],
    ['model.safetensors', weights, 'model.safetensors contains only weights', /whole folder/],
    ['adapter_model.safetensors', weights, 'adapter', /Merge/],
    ['tokenizer.json', '{}', 'tokenizer.json is not a whole model', /whole folder/],
    ['corpus.txt', 'Once upon a time.', 'corpus.txt is text, not a model.', /in the plan/],
    ['empty.bin', '', 'empty.bin is empty.', /whole folder/],
  ])('%s', async (path, content, message, hint) => {
    // In the page it comes without a folder; in the terminal its path stands for one.
    for (const name of [undefined, path]) {
      const told = await said([[path, content]], name)
      expect(told.message).toContain(message)
      expect(told.hint).toMatch(hint)
    }
  })
})

describe('a folder', () => {
  test.each<[string, Content[], RegExp, RegExp]>([
    ['of nothing', [], /The folder "mine" is empty/, /folder/],
    ['of hidden files', [['.git/HEAD', 'x']], /"mine" is empty, or has only hidden files/, /folder.*cp -rL/],
    [
      'of two models',
      [
        ['a/config.json', '{}'],
        ['b/config.json', '{}'],
      ],
      /2 models in this folder.* a, b\./,
      /one of them: a, b/,
    ],
    [
      'of a model in a folder, and something beside',
      [
        ['a/config.json', '{}'],
        ['list.txt', 'x'],
      ],
      /in the subfolder a;/,
      /Choose the folder a\./,
    ],
    [
      'of weights',
      [
        ['model.safetensors', weights],
        ['tokenizer.json', '{}'],
      ],
      /has weights \(model\.safetensors\), but no config\.json/,
      /whole/,
    ],
    [
      'of GGUF',
      [
        ['tiny.gguf', bytes('GGUF')],
        ['README.md', 'x'],
      ],
      /no config\.json, and its weights, tiny\.gguf, are GGUF/,
      /made from/,
    ],
    [
      'of pickles',
      [
        ['pytorch_model.bin', bytes('PK')],
        ['README.md', 'x'],
      ],
      /are a PyTorch pickle/,
      /save_pretrained/,
    ],
    [
      'of an adapter',
      [
        ['adapter_config.json', '{}'],
        ['adapter_model.safetensors', weights],
      ],
      /adapter/,
      /Merge/,
    ],
    [
      'of a pipeline',
      [
        ['model_index.json', '{}'],
        ['unet/config.json', '{}'],
        ['vae/config.json', '{}'],
      ],
      /a diffusers pipeline/,
      /./,
    ],
    [
      'own layout',
      [
        ['params.json', '{}'],
        ['consolidated.00.pth', bytes('PK')],
      ],
      /params\.json/,
      /transformers/,
    ],
    [
      'of a tokenizer',
      [
        ['tokenizer.json', '{}'],
        ['vocab.json', '{}'],
      ],
      /only a tokenizer/,
      /whole/,
    ],
    [
      'of pictures',
      [
        ['a.png', bytes(0x89, 'PNG')],
        ['b.png', bytes(0x89, 'PNG')],
      ],
      /contains no model.*a\.png, b\.png/,
      /whole/,
    ],
  ])('%s', async (_, contents, message, hint) => {
    const told = await said(contents, 'mine')
    expect(told.message).toMatch(message)
    expect(told.hint).toMatch(hint)
  })
})

describe('weights beside a config.json', () => {
  const config: Content = ['config.json', '{}']
  const shard = (index: number): Content => [`model-0000${index}-of-00003.safetensors`, weights]

  test.each<[string, Content[], string]>([
    [
      'one shard of three',
      [config, shard(1)],
      '1 of the 3 shards that the file name model-00001-of-00003.safetensors announces: model-00002-of-00003.safetensors and 1 more are missing.',
    ],
    ['two of three', [config, shard(1), shard(3)], 'model-00002-of-00003.safetensors is missing.'],
    ['GGUF', [config, ['tiny.gguf', bytes('GGUF')]], 'weights as tiny.gguf (GGUF, the format of llama.cpp), but none as safetensors'],
    ['an adapter alone', [config, ['adapter_model.safetensors', weights]], 'no .safetensors file'],
  ])('%s', async (_, contents, message) => {
    expect((await said(contents, 'mine')).message).toContain(message)
  })

  test('all shards are read without an index', async () => {
    const parts = [1, 2, 3].map(
      (index): Content => [shard(index)[0], safetensors({ [`t${index}`]: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }, 4)],
    )
    const { checkpoint } = await openFolder(memoryFiles([config, ...parts]))
    expect([...checkpoint.tensors.keys()]).toEqual(['t1', 't2', 't3'])
  })
})
