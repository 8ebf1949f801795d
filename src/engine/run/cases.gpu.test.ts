/** Folders as people have them: the perplexity that transformers computes, or a refusal that names what is wrong. */
import { describe, expect, test } from 'vitest'
import { type Case, caseFile, caseFiles, casesOf, names } from '../../../e2e/cases/cases.ts'
import { testSource } from '../../gpu/testing.ts'
import { toErrorData } from '../../errors.ts'
import { runJob } from './run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob } from '../testing.ts'

const session = new Session(testSource(), [])

/** Opens the folder and measures it: perplexity and everything that was said, or what it was refused with. */
async function measure(one: Case): Promise<{ perplexity: number | null; said: string; code?: string; hint: string }> {
  session.texts.add(memoryText(one.text!, await (await caseFile(one.text!)).text()))
  const { host, events } = memoryHost(session)
  try {
    await session.open(await caseFiles(one))
    const report = await runJob(smallJob([], { evaluation: { text: one.text!, samples: 6, length: 64 } }), host)
    const said = events.flatMap((event) => (event.type === 'job-start' ? event.notices : []))
    return { perplexity: report.fpPerplexity, said: said.map(({ message, hint }) => `${message} ${hint}`).join('\n'), hint: '' }
  } catch (error) {
    const { code, message, hint } = toErrorData(error)
    if (code === 'internal') throw error
    return { perplexity: null, said: `${message} ${hint}`, code, hint }
  }
}

const others = /^checkpoint-token-beyond-embedding|^file-(?!f8-|metadata-null)/
const cases = casesOf('config', 'checkpoint', 'file').filter(({ id }) => !others.test(id))

describe('folders', () => {
  test.each(cases.map((one) => [one.id, one] as const))('%s', { timeout: 60_000 }, async (_, one) => {
    const { perplexity, said, hint } = await measure(one)
    const fits = one.right.some((right) => {
      if (right.refused) return perplexity === null && names(right.refused, said)
      if (perplexity === null) return false
      const told = (right.names ?? []).every((name) => said.includes(name))
      return told && Math.abs(perplexity / right.perplexity! - 1) <= right.relative_tolerance!
    })
    expect(fits, `perplexity ${perplexity}; ${said || 'nothing said'}; right: ${JSON.stringify(one.right)}`).toBe(true)
    // Every one of these files is whole.
    expect(hint).not.toMatch(/download/i)
  })
})
