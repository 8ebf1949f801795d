/** Reads a checkpoint independently, sharing no code with the writer. */
import { crc32 } from 'node:zlib'

/** Files of a zip whose entries are stored as they are. */
export function unzip(zip: Buffer): Map<string, Buffer> {
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  if (end < 0) throw new Error('This is no zip: it has no end record.')
  const files = new Map<string, Buffer>()
  let at = zip.readUInt32LE(end + 16)
  for (let entry = 0; entry < zip.readUInt16LE(end + 10); entry++) {
    const [method, checksum, size] = [zip.readUInt16LE(at + 10), zip.readUInt32LE(at + 16), zip.readUInt32LE(at + 24)]
    const [name, extra, comment] = [zip.readUInt16LE(at + 28), zip.readUInt16LE(at + 30), zip.readUInt16LE(at + 32)]
    const path = zip.toString('utf8', at + 46, at + 46 + name)
    const local = zip.readUInt32LE(at + 42)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const bytes = zip.subarray(start, start + size)
    if (method !== 0) throw new Error(`${path} is compressed.`)
    if (crc32(bytes) !== checksum) throw new Error(`${path} does not match its checksum.`)
    files.set(path, bytes)
    at += 46 + name + extra + comment
  }
  return files
}

export interface StoredTensor {
  dtype: string
  shape: number[]
  bytes: Buffer
}

/** Tensors of one safetensors file; throws when its header, its offsets and its length do not fit each other. */
export function readSafetensors(file: Buffer): Map<string, StoredTensor> {
  const length = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, 8 + length))
  if ((8 + length) % 8) throw new Error('The data does not start at a multiple of 8.')
  if (header.__metadata__?.format !== 'pt') throw new Error('The metadata names no format that loaders know.')
  delete header.__metadata__
  const size: Record<string, number> = { I32: 4, F32: 4, F16: 2, BF16: 2 }
  const tensors = new Map<string, StoredTensor>()
  let expected = 0
  const entries = Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(header)
  for (const [name, { dtype, shape, data_offsets: range }] of entries.sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])) {
    const bytes = shape.reduce((product, extent) => product * extent, size[dtype])
    if (range[0] !== expected || range[1] - range[0] !== bytes)
      throw new Error(`${name}: the offsets ${range} do not fit ${dtype} [${shape}].`)
    expected = range[1]
    tensors.set(name, { dtype, shape, bytes: file.subarray(8 + length + range[0], 8 + length + range[1]) })
  }
  if (8 + length + expected !== file.length) throw new Error('The file is longer or shorter than its header says.')
  return tensors
}

/** Values of a float tensor. */
export function floats({ dtype, bytes }: StoredTensor): Float32Array {
  const { buffer, byteOffset, byteLength } = Buffer.from(bytes)
  if (dtype === 'F32') return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength))
  const halves = new Uint16Array(buffer.slice(byteOffset, byteOffset + byteLength))
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)
  return Float32Array.from(halves, (half) => {
    const [sign, exponent, fraction] = [half >> 15 ? -1 : 1, (half >> 10) & 31, half & 1023]
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14)
  })
}

/** A linear of a GPTQ checkpoint, dequantized: W[n, k] = scales[g, n] · (code[k, n] − zero[g, n]). */
export function dequantize(tensors: Map<string, StoredTensor>, name: string, bits: number, format: 'gptq' | 'gptq_v2') {
  const [codes, zeros, scales, index] = ['qweight', 'qzeros', 'scales', 'g_idx'].map((part) => tensors.get(`${name}.${part}`)!)
  const inputs = index.shape[0]
  const outputs = scales.shape[1]
  const scale = floats(scales)
  const offset = format === 'gptq' ? 1 : 0
  const weight = new Float32Array(outputs * inputs)
  for (let k = 0; k < inputs; k++) {
    const group = index.bytes.readInt32LE(4 * k)
    for (let n = 0; n < outputs; n++) {
      const code = field(k, bits, (word) => codes.bytes.readUInt32LE(4 * (word * outputs + n)))
      const zero = field(n, bits, (word) => zeros.bytes.readUInt32LE(4 * ((group * outputs * bits) / 32 + word))) + offset
      weight[n * inputs + k] = scale[group * outputs + n] * (code - zero)
    }
  }
  return { weight, scale, inputs, outputs }
}

/** Number `index` of a little-endian stream of `bits`-wide numbers in 32-bit words. */
function field(index: number, bits: number, word: (index: number) => number): number {
  const [first, shift] = [(index * bits) >> 5, (index * bits) & 31]
  const low = BigInt(word(first)) >> BigInt(shift)
  const high = shift + bits > 32 ? BigInt(word(first + 1)) << BigInt(32 - shift) : 0n
  return Number((low | high) & ((1n << BigInt(bits)) - 1n))
}
