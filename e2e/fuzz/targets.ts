/** The fuzz targets: readers of untrusted files, each with real files to start from and a function that reads one completely. */
import { readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { loadChatTemplate } from '../../src/data/chat.ts'
import { documents, fileText, readText } from '../../src/data/documents.ts'
import { loadTokenizer } from '../../src/data/tokenizer.ts'
import type { Bytes as File, Files } from '../../src/io/bytes.ts'
import { openFolder } from '../../src/io/folder.ts'
import { readPacking } from '../../src/io/formats/read.ts'
import { openParquet } from '../../src/io/parquet.ts'
import { openCheckpoint } from '../../src/io/safetensors.ts'
import { type Bytes, type Dice, mutateBytes, mutateJson, mutateText } from './mutate.ts'

/** One input: its size, and reading it to the end; that ends well or throws. */
export interface Input {
  bytes: number
  read(): Promise<unknown>
}

export interface Target {
  name: string
  /** Read one of its inputs by this dice. */
  input(dice: Dice): Input
}

const utf8 = new TextEncoder()
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const demo = (name: string): Bytes => new Uint8Array(readFileSync(`public/demo/${name}`))

/** Bytes without the cost of a Blob. */
function bytesFile(bytes: Bytes, size = bytes.length): File {
  return {
    size,
    slice: (start, end) => bytesFile(bytes.subarray(start, end), Math.max(0, Math.min(end, size) - start)),
    async arrayBuffer() {
      // What lies beyond a header is nobody's business here: zeros.
      const whole = new Uint8Array(size)
      whole.set(bytes.subarray(0, size))
      return whole.buffer
    },
  }
}

/** A safetensors file: the header, and zeros or noise for data. */
function safetensorsFile(header: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>, data?: Bytes): Bytes {
  const json = utf8.encode(JSON.stringify(header))
  const bytes = Math.max(0, ...Object.values(header).map(({ data_offsets: [, end] }) => end))
  const file = new Uint8Array(8 + json.length + bytes)
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true)
  file.set(json, 8)
  if (data) file.set(data.subarray(0, bytes), 8 + json.length)
  return file
}

function layout(tensors: [string, string, number[], number][]) {
  let at = 0
  return Object.fromEntries(
    tensors.map(([name, dtype, shape, size]) => {
      const begin = at
      at += shape.reduce((a, b) => a * b, 1) * size
      return [name, { dtype, shape, data_offsets: [begin, at] }]
    }),
  )
}

const gptqConfig = {
  quant_method: 'gptq',
  bits: 4,
  group_size: 16,
  desc_act: false,
  sym: false,
  checkpoint_format: 'gptq_v2',
  meta: { algorithm: 'quantease' },
}
const configs = [
  gptqConfig,
  { ...gptqConfig, bits: 3, sym: true, checkpoint_format: 'gptq', dynamic: { '-:model.layers.1': {} }, pack_dtype: 'int32' },
  { quant_method: 'awq', bits: 4, group_size: 16, zero_point: true, version: 'gemm' },
  {
    quant_method: 'compressed-tensors',
    format: 'pack-quantized',
    config_groups: {
      group_0: { targets: ['Linear'], weights: { num_bits: 4, type: 'int', symmetric: false, strategy: 'group', group_size: 16 } },
    },
    ignore: ['lm_head'],
    version: '0.18.0',
  },
  { load_in_4bit: true, bnb_4bit_quant_type: 'nf4' },
].map((config) => JSON.stringify(config))

const small = layout([
  ['model.embed_tokens.weight', 'F16', [8, 4], 2],
  ['model.layers.0.self_attn.q_proj.weight', 'BF16', [4, 4], 2],
  ['model.layers.0.input_layernorm.weight', 'F32', [4], 4],
  ['model.layers.0.q.qweight', 'I32', [2, 4], 4],
  ['scalar', 'F64', [], 8],
])
const smallBytes = Math.max(...Object.values(small).map(({ data_offsets: [, end] }) => end))
const smallHeader = JSON.stringify({ __metadata__: { format: 'pt' }, ...small })
const [q, p, bits, groups] = [32, 32, 4, 2]
const packed = layout([
  ['l.qweight', 'I32', [(p * bits) / 32, q], 4],
  ['l.qzeros', 'I32', [groups, (q * bits) / 32], 4],
  ['l.scales', 'F16', [groups, q], 2],
  ['l.g_idx', 'I32', [p], 4],
])
const gemm = layout([
  ['l.qweight', 'I32', [p, q / 8], 4],
  ['l.qzeros', 'I32', [groups, q / 8], 4],
  ['l.scales', 'F16', [groups, q], 2],
])
const compressed = layout([
  ['l.weight_packed', 'I32', [q, (p * bits) / 32], 4],
  ['l.weight_scale', 'F16', [q, groups], 2],
  ['l.weight_zero_point', 'I32', [(q * bits) / 32, groups], 4],
  ['l.weight_shape', 'I64', [2], 8],
])

// ---------------------------------------------------------------- headers

/** A safetensors header of a few tensors, in front of as much data as it should have. */
const safetensorsHeader: Target = {
  name: 'safetensors header',
  input(dice) {
    const json = utf8.encode(dice.chance(0.8) ? mutateJson(smallHeader, dice) : text(mutateBytes(utf8.encode(smallHeader), dice)))
    const file = new Uint8Array(8 + json.length)
    file.set(json, 8)
    const length = dice.chance(0.9) ? json.length : dice.one([0, 1, json.length - 1, json.length + 1, 2 ** 31, 2 ** 53])
    new DataView(file.buffer).setBigUint64(0, BigInt(length), true)
    const size = file.length + dice.one([smallBytes, smallBytes, smallBytes, 0, smallBytes + 1])
    return { bytes: size, read: async () => (await openCheckpoint(new Map([['model.safetensors', bytesFile(file, size)]]))).bytes }
  },
}

const packedConfig: Target = {
  name: 'quantization config',
  input(dice) {
    const json = mutateJson(dice.one(configs), dice)
    return {
      bytes: json.length,
      async read() {
        let value: unknown
        try {
          value = JSON.parse(json)
        } catch {
          return null
        }
        return readPacking([{ file: 'quantize_config.json', path: '', value: value }]).bits
      },
    }
  },
}

export const headers: Target[] = [safetensorsHeader, packedConfig]

// ---------------------------------------------------------------- whole files

const demoNames = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json']
let folderFiles: Map<string, Bytes> | null = null
/** The demo's folder with the head of its weights, and a sharded and a packed one. */
function folder(): Map<string, Bytes> {
  if (!folderFiles) {
    const weights = demo('model.safetensors')
    folderFiles = new Map(demoNames.map((name) => [name, demo(name)]))
    folderFiles.set('model.safetensors', weights)
    folderFiles.set('README.md', utf8.encode('---\nlicense: mit\ntags:\n- x\n---\n# A model\n'))
  }
  return folderFiles
}

/** JSON by its structure most of the time, everything else by its bytes; a safetensors file in its header. */
function mutated(name: string, bytes: Bytes, dice: Dice): Bytes {
  if (name.endsWith('.json')) return dice.chance(0.8) ? utf8.encode(mutateJson(text(bytes), dice)) : mutateBytes(bytes, dice)
  if (!name.endsWith('.safetensors')) return mutateBytes(bytes, dice)
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true))
  if (dice.chance(0.3)) return mutateBytes(bytes, dice, 0, 8 + length)
  const json = utf8.encode(mutateJson(text(bytes.subarray(8, 8 + length)), dice))
  const file = new Uint8Array(8 + json.length + bytes.length - 8 - length)
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true)
  file.set(json, 8)
  file.set(bytes.subarray(8 + length), 8 + json.length)
  return file
}

const modelFolder: Target = {
  name: 'model folder',
  input(dice) {
    const files = new Map(folder())
    const name = dice.one([...files.keys()].filter((name) => !name.startsWith('tokenizer')))
    files.set(name, mutated(name, files.get(name)!, dice))
    if (dice.chance(0.2)) files.set('quantize_config.json', utf8.encode(mutateJson(configs[0], dice)))
    return {
      bytes: files.get(name)!.length,
      async read() {
        const { checkpoint } = await openFolder(asFiles(files))
        for (const tensor of [...checkpoint.tensors.keys()].slice(0, 5)) await checkpoint.read(tensor)
      },
    }
  },
}

const shards = layout([
  ['a.weight', 'F16', [4, 4], 2],
  ['b.weight', 'F32', [4], 4],
])
const sharded = new Map([
  ['model-00001-of-00002.safetensors', safetensorsFile(layout([['a.weight', 'F16', [4, 4], 2]]))],
  ['model-00002-of-00002.safetensors', safetensorsFile(layout([['b.weight', 'F32', [4], 4]]))],
  [
    'model.safetensors.index.json',
    utf8.encode(
      JSON.stringify({
        metadata: { total_size: 48 },
        weight_map: { 'a.weight': 'model-00001-of-00002.safetensors', 'b.weight': 'model-00002-of-00002.safetensors' },
      }),
    ),
  ],
])

const shardedCheckpoint: Target = {
  name: 'sharded checkpoint',
  input(dice) {
    const files = new Map(sharded)
    const name = dice.one([...files.keys()])
    files.set(name, mutated(name, files.get(name)!, dice))
    return {
      bytes: 2000,
      async read() {
        const checkpoint = await openCheckpoint(asFiles(files))
        for (const tensor of Object.keys(shards)) await checkpoint.read(tensor)
      },
    }
  },
}

/** Noise for codes and scales, with a group index in order and the shape of the weights. */
function packedFile(tensors: ReturnType<typeof layout>): Bytes {
  const data = Uint8Array.from({ length: 2000 }, (_, i) => (i * 37) % 251)
  const view = new DataView(data.buffer)
  if ('l.g_idx' in tensors)
    for (let i = 0; i < p; i++) view.setInt32(tensors['l.g_idx'].data_offsets[0] + 4 * i, Math.floor((i * groups) / p), true)
  if ('l.weight_shape' in tensors)
    for (const [i, extent] of [q, p].entries()) view.setBigInt64(tensors['l.weight_shape'].data_offsets[0] + 8 * i, BigInt(extent), true)
  return safetensorsFile(tensors, data)
}
const packedFiles = [
  [configs[0], packedFile(packed)],
  [configs[2], packedFile(gemm)],
  [configs[3], packedFile(compressed)],
] as const

const packedCheckpoint: Target = {
  name: 'packed checkpoint',
  input(dice) {
    const [whole, packed] = dice.one(packedFiles)
    const file = dice.chance(0.5) ? mutated('model.safetensors', packed, dice) : packed
    const config = file === packed || dice.chance(0.3) ? mutateJson(whole, dice) : whole
    return {
      bytes: file.length,
      async read() {
        const checkpoint = await openCheckpoint(asFiles(new Map([['model.safetensors', file]])))
        const packing = readPacking([{ file: 'quantize_config.json', path: '', value: parsed(config) }])
        if (packing.holds(checkpoint, 'l')) await packing.read(checkpoint, 'l', { q, p })
      },
    }
  },
}

/** Tokenizers of the kinds that models come with, beside the demo's byte-level BPE. */
const pieces = [
  '<unk>',
  '<s>',
  '</s>',
  '▁',
  'a',
  'b',
  'c',
  'ab',
  '▁a',
  'abc',
  ...Array.from({ length: 16 }, (_, i) => `<0x0${i.toString(16).toUpperCase()}>`),
]
const added = [0, 1, 2].map((id) => ({
  id,
  content: pieces[id],
  special: true,
  lstrip: false,
  rstrip: false,
  normalized: false,
  single_word: false,
}))
const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]))
const template = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [],
  special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
}
const spaces = {
  type: 'Sequence',
  normalizers: [
    { type: 'Prepend', prepend: '▁' },
    { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  ],
}
const tokenizers = [
  {
    added_tokens: added,
    normalizer: spaces,
    pre_tokenizer: null,
    post_processor: template,
    decoder: null,
    model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, fuse_unk: true, vocab, merges: ['a b', 'ab c', '▁ a'] },
  },
  {
    added_tokens: added,
    normalizer: { type: 'NFKC' },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
    post_processor: template,
    decoder: { type: 'Metaspace', replacement: '▁' },
    model: { type: 'Unigram', unk_id: 0, vocab: pieces.map((piece, i) => [piece, -i / 2]) },
  },
  {
    added_tokens: added,
    normalizer: { type: 'BertNormalizer', lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: null,
    decoder: { type: 'WordPiece', prefix: '##' },
    model: { type: 'WordPiece', unk_token: '<unk>', continuing_subword_prefix: '##', vocab: { ...vocab, '##b': 26, '##c': 27 } },
  },
].map((one) => JSON.stringify(one))

const tokenizerFile: Target = {
  name: 'tokenizer',
  input(dice) {
    const own = dice.chance(0.3) ? text(folder().get('tokenizer.json')!) : dice.one(tokenizers)
    const json = dice.chance(0.9) ? utf8.encode(mutateJson(own, dice)) : mutateBytes(utf8.encode(own), dice)
    const settings = text(folder().get('tokenizer_config.json')!)
    const files = new Map([
      ['tokenizer.json', json],
      ['tokenizer_config.json', utf8.encode(dice.chance(0.2) ? mutateJson(settings, dice) : settings)],
    ])
    return {
      bytes: json.length,
      async read() {
        const tokenizer = await loadTokenizer(asFiles(files))
        tokenizer.encode('Ada walked to the abc, <s> and\n ba\u0301 😀 cab.  '.repeat(20))
      },
    }
  },
}

const templates = [
  "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] | trim + eos_token }}{% endfor %}",
  "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% endif %}{% for m in messages %}{% if loop.first and system is defined %}{{ system }}{% elif m.role not in ['user', 'assistant'] %}{{ raise_exception('Unknown role') }}{% else %}{{ m.content }}{% endif %}{% endfor %}",
]

const jinja = [
  '{%',
  '%}',
  '{{',
  '}}',
  '{{ range(999999999) }}',
  '{% for a in range(70000) %}{% for b in range(70000) %}{% endfor %}{% endfor %}',
  '{{ range(0, 5, 0) }}',
  '{{ messages[9999].content[0] }}',
  '{{ none.x }}',
  '{% set messages = messages + messages %}',
  "| join(',')",
  '{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}',
  '{#',
  '\u0000',
  '(('.repeat(200),
]

const chatFile: Target = {
  name: 'chat template',
  input(dice) {
    const source = mutateText(dice.one(templates), dice, jinja)
    const config = JSON.stringify({ bos_token: '<s>', eos_token: { content: '</s>' }, chat_template: source })
    const files = new Map<string, Bytes>([['tokenizer_config.json', utf8.encode(dice.chance(0.3) ? mutateJson(config, dice) : config)]])
    if (dice.chance(0.3)) files.set('chat_template.jinja', utf8.encode(source))
    return {
      bytes: config.length,
      async read() {
        const chat = await loadChatTemplate(asFiles(files))
        const messages = [
          { role: 'system', content: 'Be short.' },
          { role: 'user', content: 'Hi' },
        ]
        chat?.on('2026-11-30')(messages, 'Row 1')
      },
    }
  },
}

const rows = Array.from({ length: 60 }, (_, i) => ({
  text: `Row ${i} of a text, ${'ü😀 and more '.repeat(i % 7)}`,
  messages: Array.from({ length: 1 + (i % 3) }, (_, j) => ({ role: j % 2 ? 'assistant' : 'user', content: `${i} ${j}` })),
}))
const jsonl = utf8.encode(rows.map((row) => JSON.stringify(row)).join('\n'))
const tables = (['UNCOMPRESSED', 'SNAPPY', 'GZIP', 'SNAPPY'] as const).map(
  (codec, i) =>
    new Uint8Array(
      parquetWriteBuffer({
        columnData: [
          { name: 'text', data: rows.map((row, j) => (i % 2 && j % 5 === 0 ? null : row.text)) },
          { name: 'kind', data: rows.map((_, j) => ['a', 'b'][j % 2]) },
          { name: 'messages', data: rows.map((row) => row.messages) },
        ],
        schema: [
          { name: 'root', num_children: 3 },
          { name: 'text', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
          { name: 'kind', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
          { name: 'messages', repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
          { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
          { name: 'element', repetition_type: 'OPTIONAL', num_children: 2 },
          { name: 'role', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
          { name: 'content', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
        ],
        rowGroupSize: 25,
        codec,
        compressors: codec === 'GZIP' ? { GZIP: (input: Uint8Array) => new Uint8Array(gzipSync(input)) } : undefined,
      }),
    ),
)

/** Encodings and compressions that the writer above does not have. */
const others = ['brotli', 'lz4', 'delta', 'delta-length', 'duckdb-messages', 'pages-v2'].map(
  (name) => new Uint8Array(readFileSync(`e2e/cases/text/${name}.parquet`)),
)

const parquetFile: Target = {
  name: 'parquet',
  input(dice) {
    const table = dice.one(dice.chance(0.5) ? tables : others)
    const footer = new DataView(table.buffer).getUint32(table.length - 8, true) + 8
    // Half of them in the footer, where the counts are.
    const file = dice.chance(0.5) ? mutateBytes(table, dice, table.length - footer) : mutateBytes(table, dice, 0, table.length - footer)
    return {
      bytes: file.length,
      async read() {
        const { columns, groups, read } = await openParquet(bytesFile(file), 'a.parquet')
        let failed: unknown = null
        for (const group of groups.keys()) {
          for (const { name, kind } of columns) if (kind !== 'number') await read(group, name).catch((error) => (failed = error))
        }
        if (failed) throw failed
        await readText(fileText('a.parquet', bytesFile(file)))
      },
    }
  },
}

const table = utf8.encode(`text,n\n${rows.map(({ text }, i) => `"${text}",${i}`).join('\n')}`)
const zstd = new Uint8Array(readFileSync('e2e/cases/text/packed.jsonl.zst'))

const textFile: Target = {
  name: 'text',
  input(dice) {
    const kind = dice.below(7)
    const plain = mutateBytes(jsonl, dice)
    const zipped = new Uint8Array(gzipSync(dice.chance(0.3) ? plain : jsonl))
    const lines = text(jsonl).split('\n')
    lines[dice.below(lines.length)] = mutateJson(dice.one(lines), dice)
    const [name, file] = [
      ['a.txt', plain],
      ['a.jsonl', dice.chance(0.5) ? plain : utf8.encode(lines.join('\n'))],
      ['a.json.gz', dice.chance(0.7) ? mutateBytes(zipped, dice) : zipped],
      ['a.txt.gz', mutateBytes(zipped, dice)],
      ['a.json', mutateBytes(utf8.encode(JSON.stringify(rows)), dice)],
      ['a.csv', mutateBytes(table, dice)],
      ['a.jsonl.zst', mutateBytes(zstd, dice)],
    ][kind] as [string, Bytes]
    const chat =
      kind === 1 && dice.chance(0.3) ? (messages: { content?: unknown }[]) => messages.map(({ content }) => String(content)).join('') : null
    return {
      bytes: name.endsWith('.gz') ? jsonl.length : file.length,
      async read() {
        await readText(fileText(name, bytesFile(file)), chat)
        for await (const _ of documents(fileText(name, bytesFile(file)))) break
      },
    }
  },
}

export const wholeFiles: Target[] = [modelFolder, shardedCheckpoint, packedCheckpoint, tokenizerFile, chatFile, parquetFile, textFile]

function asFiles(files: ReadonlyMap<string, Bytes>): Files {
  return new Map(Array.from(files, ([name, bytes]) => [name, bytesFile(bytes)]))
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return null
  }
}
