/** Published figures of some devices, for dry runs without the device. */
import type { DryDevice } from './job/catalog.ts'
import { HOST_SHARE } from './parking.ts'

/** Fraction of the vendor's f32 rate that good matrix products reach through WebGPU: 25 to 40 % have been published. */
const REACHED = 0.3
/** Part of a device's memory that a run may use. */
const USABLE = 0.75
/** Fraction of the bus that transfers through WebGPU are assumed to reach: each is copied on the host as well. */
const BUS_REACHED = 0.25
/** Assumed memory of the host where it has its own, GiB. */
const HOST = 32

export const dryDevices: DryDevice[] = [
  {
    id: 'webgpu',
    label: 'Any WebGPU device (guaranteed limits)',
    maxBinding: 128 * 2 ** 20,
    maxBuffer: 256 * 2 ** 20,
    memoryBudget: 2 * 2 ** 30,
    gflops: null,
    transferRate: null,
    hostMemory: HOST * HOST_SHARE * 2 ** 30,
    from: 'The limits that WebGPU guarantees; memory is a guess, the rates unknown.',
  },
  ...(
    [
      ['apple-m1', 'Apple M1, 16 GB', 16, 2.6, 68.3, null],
      ['rtx-3060', 'NVIDIA RTX 3060, 12 GB', 12, 12.7, 31.5, HOST],
      ['rtx-4090', 'NVIDIA RTX 4090, 24 GB', 24, 82.6, 31.5, HOST],
    ] as const
  ).map(([id, label, gigabytes, teraflops, bus, host]) => ({
    id,
    label,
    maxBinding: 2 ** 31 - 4,
    maxBuffer: 2 ** 32,
    memoryBudget: gigabytes * USABLE * 2 ** 30,
    gflops: teraflops * 1000 * REACHED,
    transferRate: bus * 1e9 * BUS_REACHED,
    // Of memory that host and GPU share, what the GPU leaves.
    hostMemory: (host === null ? gigabytes * (1 - USABLE) : host * HOST_SHARE) * 2 ** 30,
    from: `Published: ${gigabytes} GB, of which three quarters are assumed usable, and ${teraflops} TFLOP/s in f32, of which ${100 * REACHED} % are assumed; bindings up to 2 GiB, buffers up to 4 GiB; ${bus} GB/s between host and GPU, of which ${100 * BUS_REACHED} % are assumed; ${host === null ? 'host and GPU share the memory' : `${host} GiB of host memory, of which half is used`}.`,
  })),
]
