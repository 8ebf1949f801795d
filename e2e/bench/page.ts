/** The browser's part: opens the devices and exposes the benchmarks to the script. */
import { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { openJax, openTensorFlow } from './libraries.ts'
import { benchmarks } from './suite.ts'

const gpu = await WebGpuDevice.open(navigator.gpu)
Object.assign(globalThis, { bench: benchmarks(gpu, [await openJax(), await openTensorFlow()]) })
