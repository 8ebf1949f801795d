/** Options that every run has, whatever its algorithm. */
import type { OptionSpec } from '../options.ts'

export const runOptions = [
  {
    key: 'trueSequential',
    flag: 'true-sequential',
    label: 'True-sequential',
    type: 'bool',
    default: false,
    help: 'Inside a block, solve attention before the MLP and let each see what the quantized layers before it really put out.',
    cost: 'Free when the calibration text fits on the GPU; up to 2.4 times the calibration otherwise. Usually a little less error.',
  },
  {
    key: 'blocks',
    flag: 'num-layers-to-quantize',
    label: 'Blocks to quantize',
    type: 'int',
    default: 0,
    min: 0,
    max: 1024,
    help: 'Only the first so many blocks; 0 means all. The rest stays as it is.',
    cost: 'Less time, a larger file.',
    advanced: true,
  },
] as const satisfies readonly OptionSpec[]
