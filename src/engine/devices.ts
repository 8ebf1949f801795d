/** Published figures of some devices, for dry runs without the device. */
import type { DryDevice } from './job/catalog.ts'

/** Fraction of the vendor's f32 rate that good matrix products reach through WebGPU: 25 to 40 % have been published. */
const REACHED = 0.3

export const dryDevices: DryDevice[] = [
  {
    id: 'webgpu',
    label: 'Any WebGPU device (guaranteed limits)',
    maxBinding: 128 * 2 ** 20,
    maxBuffer: 256 * 2 ** 20,
    memoryBudget: 2 * 2 ** 30,
    gflops: null,
    from: 'The limits that WebGPU guarantees; memory is a guess, the rate unknown.',
  },
  ...(
    [
      ['apple-m1', 'Apple M1, 16 GB', 16, 2.6],
      ['rtx-3060', 'NVIDIA RTX 3060, 12 GB', 12, 12.7],
      ['rtx-4090', 'NVIDIA RTX 4090, 24 GB', 24, 82.6],
    ] as const
  ).map(([id, label, gigabytes, teraflops]) => ({
    id,
    label,
    maxBinding: 2 ** 31 - 4,
    maxBuffer: 2 ** 32,
    memoryBudget: gigabytes * 0.75 * 2 ** 30,
    gflops: teraflops * 1000 * REACHED,
    from: `Published: ${gigabytes} GB, of which three quarters are assumed usable, and ${teraflops} TFLOP/s in f32, of which ${100 * REACHED} % are assumed; bindings up to 2 GiB, buffers up to 4 GiB.`,
  })),
]
