/** The part of `npm run bench` that runs in Node, on Dawn. */
import { dawn, headless } from '../../src/engine/hosts/node.ts'
import { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { report, reportForms, wanted } from './report.ts'
import { benchmarks } from './suite.ts'

headless(async () => {
  const gpu = await WebGpuDevice.open(dawn())
  if (wanted('forms')) await reportForms(gpu)
  if (wanted('node')) await report('node', `Dawn in Node ${process.version}`, benchmarks(gpu, []))
})
