/** A tokenizer may have ids beyond the rows of the embedding, as long as no text holds such a token. */
import { beforeAll, expect, test } from 'vitest'
import { type Case, caseFile, caseFiles, casesOf, names } from '../../../e2e/cases/cases.ts'
import { testSource } from '../../gpu/testing.ts'
import { examine } from '../plan/check.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob } from '../testing.ts'

const cases = casesOf('checkpoint').filter(({ id }) => id.startsWith('checkpoint-token-beyond-embedding'))
const textOf = async ({ text }: Case) => memoryText(text!, await (await caseFile(text!)).text())

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), await Promise.all(cases.map(textOf)))
})

test.each(cases)('$id', async (one) => {
  await session.open(await caseFiles(one))
  const choice = { text: one.text!, samples: 6, length: 64 }
  const job = smallJob([], { calibration: { ...choice, sampling: 'consecutive' }, evaluation: choice })
  const [{ refused, perplexity, relative_tolerance }] = one.right
  if (refused) {
    const { check } = await examine(job, session)
    const problem = check.problems.find(({ code }) => code === 'tokenizer-mismatch')
    expect(problem?.severity).toBe('error')
    expect(names(refused, problem!.message)).toBe(true)
    expect(problem!.message).toContain(one.text!)
  } else {
    const { host } = memoryHost(session)
    const measured = (await runJob(job, host)).fpPerplexity!
    expect(measured).toBeClose(perplexity!, { relative: relative_tolerance! })
  }
})
