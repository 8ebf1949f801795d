/** The half of `npm run bench` that runs in Node, on Dawn. */
import { dawn } from '../../src/engine/node.ts'
import { toErrorData } from '../../src/errors.ts'
import { Gpu } from '../../src/gpu/device.ts'
import { report } from './report.ts'
import { benchmarks } from './suite.ts'

try {
  const gpu = await Gpu.open(dawn())
  await report('node', `Dawn in Node ${process.version}`, benchmarks(gpu, []))
  process.exit(0)
} catch (error) {
  const { code, message } = toErrorData(error)
  if (code === 'gpu-missing' && !process.env.QUANTEASE_SOFTWARE) process.exit(69)
  console.error(message)
  process.exit(1)
}
