/** The half of `npm run bench` that runs in Node, on Dawn. */
import { dawn, headless } from '../../src/engine/hosts/node.ts'
import { Gpu } from '../../src/gpu/device.ts'
import { report } from './report.ts'
import { benchmarks } from './suite.ts'

headless(async () => {
  const gpu = await Gpu.open(dawn())
  await report('node', `Dawn in Node ${process.version}`, benchmarks(gpu, []))
})
