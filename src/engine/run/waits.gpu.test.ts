/** How often a run waits for values of the GPU: each wait costs up to 100 ms in Firefox, whatever comes of it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { solvers } from '../../quant/index.ts'
import type { Options } from '../../options.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyFiles } from '../testing.ts'

let session: Session

beforeAll(async () => {
  session = new Session(testSource(), testTexts())
  await session.open(await tinyFiles(), 'tiny')
  // Looks at a curve on the way are as many as there is time for; nothing waits for them.
  ;(await session.gpu()).lookEvery = Number.POSITIVE_INFINITY
})

afterAll(async () => (await session.gpu()).destroy())

const options: Record<string, Options> = {
  quantease: { iterations: 12 },
  gptq_quantease: { iterations: 4 },
  quantease_plus: { quick: true },
}
const variants = solvers.flatMap(({ id, transform }) =>
  (transform ? [false] : [false, true]).map((trueSequential): [string, Options] => [id, { ...options[id], trueSequential }]),
)

test.each([...variants, ['quantease', { iterations: 6, outlier: 0.02, trueSequential: true }] as [string, Options]])(
  '%s %o waits at most twice a linear, journal and checkpoint included',
  async (method, given) => {
    const gpu = await session.gpu()
    let [begun, ended] = [0, 0]
    const { host } = memoryHost(session, ({ type }) => {
      if (type === 'run-start') begun = gpu.waits
      if (type === 'layer') ended = gpu.waits
    })
    const report = await runJob(smallJob([{ id: 'a', label: 'a', method, options: { ...given, blocks: 1 } }], { save: true }), host)
    const [{ layers, state }] = report.runs
    expect([state, layers.length]).toEqual(['finished', 7])
    expect((ended - begun) / layers.length).toBeLessThanOrEqual(2)
  },
)
