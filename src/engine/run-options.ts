/** Options of every run, independent of its algorithm. */
import type { OptionSpec } from '../options.ts'
import { gridKinds } from '../quant/grids/index.ts'

/** Of embedding and head: as llama.cpp's quantizer has them in a file of the run's type, or as they are. */
export const USUAL = 'auto'
export const FULL = 'full'

const endChoices = [
  { value: USUAL, label: 'auto' },
  { value: FULL, label: 'full precision' },
  ...gridKinds.flatMap(({ id, label, fixed, spans }) => (label !== undefined && fixed?.bits && !spans ? [{ value: id, label }] : [])),
]

export const runOptions = [
  {
    key: 'embeddingType',
    flag: 'embedding-type',
    label: 'Embedding',
    type: 'choice',
    default: USUAL,
    choices: endChoices,
    help: 'What the token embedding is stored as: in full precision, or in a type of GGUF, of which MLX holds Q4_0 to Q8_0 too. auto: with a type that only GGUF holds, what llama.cpp’s quantizer takes for it, which is the same type; else full precision.',
    cost: 'Of small models, embedding and head are half the file.',
  },
  {
    key: 'headType',
    flag: 'head-type',
    label: 'Head',
    type: 'choice',
    default: USUAL,
    choices: endChoices,
    help: 'The same of the output head, which is solved with the final hidden states as its inputs, by the run’s method. auto: Q6_K, or Q8_0 where rows of 256 weights do not fit. Where the head is the embedding they are one tensor, solved for both uses, with the type of the head.',
    cost: 'As much work as a linear with the vocabulary as its outputs; where it is the embedding too, one more pass of the calibration text.',
  },
  {
    key: 'trueSequential',
    flag: 'true-sequential',
    label: 'True-sequential',
    type: 'bool',
    default: false,
    help: 'Inside a block, solve layers in the order of computation, each calibrated on the outputs of the quantized layers before it.',
    cost: 'No extra time when the calibration text fits on the GPU, else up to 2.4 times the calibration time. Usually a little less error.',
    idle: [{ key: 'fullInputs', is: [true] }],
  },
  {
    key: 'fullInputs',
    flag: 'full-inputs',
    label: 'Full-precision inputs',
    type: 'bool',
    default: false,
    help: 'Calibrate every layer on the inputs that it has in the full-precision model. Then layers do not depend on each other, and many machines can solve them at once; errors of earlier layers are not made up for.',
    cost: 'No extra time. Usually a larger error of the whole model.',
    advanced: true,
  },
  {
    key: 'blocks',
    flag: 'num-layers-to-quantize',
    label: 'Blocks to quantize',
    type: 'int',
    default: 0,
    min: 0,
    max: 1024,
    help: 'Quantize only the first so many blocks; 0 means all. The rest stays in full precision.',
    cost: 'Fewer blocks take less time, but make a larger file.',
    advanced: true,
  },
  {
    key: 'groupIndex',
    flag: 'g-idx',
    label: 'Group index in GPTQ files',
    type: 'bool',
    default: true,
    help: 'Store the group of every input (g_idx) even where groups are runs of inputs. Without it files are smaller, but transformers and llama.cpp’s converter cannot read them.',
    cost: 'Four bytes per input of every linear.',
    only: { format: 'gptq', label: 'GPTQ' },
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]
