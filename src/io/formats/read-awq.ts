/** Reads the gemm layout of AWQ, written by any program. The layout is described in awq.ts, which writes it. */
import { WorkbenchError } from '../../errors.ts'
import type { SolvedLinear } from '../../quant/linear.ts'
import { agreed } from '../facts.ts'
import type { Checkpoint } from '../safetensors.ts'
import { z } from '../zod.ts'
import {
  correct,
  describe,
  expectTensor,
  firstMeta,
  metaShape,
  objects,
  type Packing,
  type QuantizationConfig,
  readScales,
  type Size,
  unreadable,
  awqOrder,
} from './packing.ts'

const configShape = z.object({
  bits: z.int(),
  group_size: z.int().refine((size) => size === -1 || size > 0, 'is -1 or larger than 0'),
  version: z.string().nullish(),
  meta: metaShape,
})

/** Facts with all the names that AutoAWQ, transformers and GPTQModel give them. */
const spellings: Record<string, string[]> = {
  bits: ['bits', 'w_bit'],
  group_size: ['group_size', 'q_group_size'],
  version: ['version', 'format', 'checkpoint_format'],
}

/** @throws WorkbenchError `config-unsupported` for another layout or width, `config-invalid` for wrong fields and contradictions */
export function readAwq(configs: readonly QuantizationConfig[]): Packing {
  const values = objects(configs)
  const file = configs.map((one) => one.file).join(' and ')
  const plain = (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value)
  const facts = Object.entries(spellings).map(([fact, names]) => [
    fact,
    agreed(
      names.flatMap((name) =>
        values.map(({ path, value, file }) => ({ where: `${path}${name}${path ? '' : ` in ${file}`}`, says: plain(value[name]) })),
      ),
      file,
    ),
  ])
  const parsed = configShape.safeParse({ ...Object.fromEntries(facts), meta: firstMeta(values) })
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]
    throw new WorkbenchError('config-invalid', `${file}: ${path.join('.')}: ${message}.`, correct)
  }
  const { bits, group_size: groupSize, version, meta } = parsed.data
  if (bits !== 4) throw unreadable(file, `the model is quantized already, by AWQ to ${bits} bits`)
  if (version != null && version !== 'gemm')
    throw unreadable(file, `the model is quantized already, by AWQ in the layout ${describe(version)}, not gemm`)
  return {
    label: 'AWQ (gemm)',
    bits,
    groupSize,
    symmetric: false,
    actOrder: false,
    method: meta?.algorithm ?? null,
    holds: ({ tensors }, module) => tensors.has(`${module}.qweight`) || tensors.has(`${module}.qzeros`),
    tensors: (checkpoint, module, size) => Object.values(tensorsOf(checkpoint, module, groupSize, size).tensors).map(({ name }) => name),
    read: (checkpoint, module, size) => readLinear(checkpoint, module, groupSize, size),
  }
}

function tensorsOf(checkpoint: Checkpoint, module: string, groupSize: number, { q, p }: Size) {
  const groups = groupSize === -1 ? 1 : p / groupSize
  if (q % 8 || !Number.isInteger(groups))
    throw new WorkbenchError(
      'tensor-mismatch',
      `${module} is ${q} × ${p}, which the AWQ layout cannot store with groups of ${groupSize}.`,
      'Check group_size in the quantization config.',
    )
  const tensors = {
    qweight: expectTensor(checkpoint, `${module}.qweight`, ['I32'], [p, q / 8]),
    qzeros: expectTensor(checkpoint, `${module}.qzeros`, ['I32'], [groups, q / 8]),
    scales: expectTensor(checkpoint, `${module}.scales`, ['F16', 'BF16', 'F32'], [groups, q]),
  }
  return { groups, tensors }
}

async function readLinear(checkpoint: Checkpoint, module: string, size: number, { q, p }: Size): Promise<SolvedLinear> {
  const { groups, tensors } = tensorsOf(checkpoint, module, size, { q, p })
  const load = async ({ name }: { name: string }) => new Uint32Array((await checkpoint.read(name)).buffer)
  const [qweight, qzeros] = [await load(tensors.qweight), await load(tensors.qzeros)]
  const scales = await readScales(checkpoint, tensors.scales)
  const codes = new Uint32Array(Math.ceil(p / 8) * q)
  each(qweight, q, (k, n, code) => {
    codes[(k >> 3) * q + n] |= code << (4 * (k & 7))
  })
  const grid = new Float32Array(2 * groups * q)
  each(qzeros, q, (g, n, zero) => {
    grid[2 * (g * q + n)] = scales[g * q + n]
    grid[2 * (g * q + n) + 1] = zero
  })
  const groupSize = p / groups
  const groupIndex = Int32Array.from({ length: p }, (_, k) => Math.floor(k / groupSize))
  return { bits: 4, q, p, groupSize, groups, codes, grid, groupIndex, outliers: null }
}

/** Visits the numbers of words `[rows, q/8]`. */
function each(words: Uint32Array, q: number, visit: (row: number, n: number, value: number) => void): void {
  for (let word = 0; word < words.length; word++) {
    const [row, first] = [Math.floor((8 * word) / q), (8 * word) % q]
    for (let i = 0; i < 8; i++) visit(row, first + awqOrder[i], (words[word] >>> (4 * i)) & 15)
  }
}
