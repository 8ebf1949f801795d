import { expect, test } from 'vitest'
import { WorkbenchError } from '../errors.ts'
import { areTexts, filesOfDrop } from './files.ts'

const is = (path: string, content: string, anything = false) => areTexts([{ path, file: new File([content], path) }], anything)

test.each([
  ['rows.json', '[{"text": "a"}]'],
  ['rows.json', '{"data": [{"text": "a"}]}'],
  ['lines.json', '{"a": "x"}\n{"a": "y"}'],
  ['one.json', '{"messages": [{"role": "user", "content": "a"}]}'],
  ['mine.txt', ''],
])('%s is a text', async (path, content) => {
  expect(await is(path, content)).toBe(true)
})

test.each([
  ['config.json', '{"text": [{"a": 1}]}'],
  ['config (1).json', '{"architectures": ["LlamaForCausalLM"]}'],
  ['tokenizer.json', '{"version": "1.0", "added_tokens": [{"id": 0, "content": "<s>"}]}'],
  ['model.safetensors.index.json', '{"metadata": {}, "weight_map": {"a": "b"}}'],
  ['vocab.json', '{"<s>": 0, "a": 1}'],
  ['model.gguf', 'GGUF'],
])('%s is part of a model, on the plan too', async (path, content) => {
  expect(await is(path, content)).toBe(false)
  expect(await is(path, content, true)).toBe(false)
})

test('on the plan, what no model has is taken for a text, and refused as one', async () => {
  expect(await is('photo.png', '')).toBe(false)
  expect(await is('photo.png', '', true)).toBe(true)
})

test('a folder that is gone before it is read is told as such, and is no bug', async () => {
  const gone = {
    kind: 'directory',
    name: 'model',
    // biome-ignore lint/correctness/useYield: nothing comes of a folder that is gone
    async *values() {
      throw new DOMException('A requested file or directory could not be found.', 'NotFoundError')
    },
  }
  const item = { kind: 'file', getAsFileSystemHandle: async () => gone, getAsFile: () => null }
  const drop = filesOfDrop({ items: [item] } as unknown as DataTransfer)
  await expect(drop).rejects.toThrow(WorkbenchError)
  await expect(drop).rejects.toMatchObject({ code: 'file-missing', message: expect.stringContaining('could not be found') })
})
