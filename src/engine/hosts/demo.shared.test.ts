/** Second suite: the demo model against the perplexity that its trainer recorded. */
import { expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { diskFolder } from './node.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts } from '../testing.ts'

it('measures 1.833 over the first 40 windows of 256 tokens', async () => {
  const session = new Session(testSource(), testTexts())
  await session.open(await diskFolder('public/demo'))
  const { host } = memoryHost(session)
  const report = await runJob(smallJob([], { evaluation: { text: 'demo-evaluation', samples: 40, length: 256 } }), host)
  expect(report.evaluation).toMatchObject({ windows: 40, length: 256 })
  // Recorded with three decimals.
  expect(report.fpPerplexity!).toBeClose(1.833, { absolute: 0.0015 })
  ;(await session.gpu()).destroy()
})
