/** The embedded demo model and its texts. */
import type { Bytes, Files } from '../../io/bytes.ts'
import type { TextFile } from '../texts.ts'

type Read = (name: string) => Promise<Bytes>

const modelFiles = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']

export async function demoFiles(read: Read): Promise<Files> {
  return new Map(await Promise.all(modelFiles.map(async (name) => [name, await read(name)] as const)))
}

export function demoTexts(read: Read): TextFile[] {
  return [
    { id: 'demo-calibration', label: 'Demo stories for calibration', fileName: 'calibration.txt', bytes: 302_790 },
    { id: 'demo-evaluation', label: 'Demo stories for evaluation', fileName: 'evaluation.txt', bytes: 201_339 },
  ].map((text) => ({ ...text, origin: 'builtin', open: () => read(text.fileName) }))
}
