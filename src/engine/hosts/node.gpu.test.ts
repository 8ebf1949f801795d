/** Folders of links from a disk, measured: what transformers computes from the files that the links lead to. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { caseFile, casesOf, layOut } from '../../../e2e/cases/cases.ts'
import { testSource } from '../../gpu/testing.ts'
import { diskFolder } from './node.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob } from '../testing.ts'

test.each(casesOf('file').filter(({ open }) => open))('$id', async (one) => {
  const session = new Session(testSource(), [memoryText(one.text!, await (await caseFile(one.text!)).text())])
  const folder = await mkdtemp(join(tmpdir(), 'links-'))
  try {
    await session.open(await diskFolder(await layOut(one, folder)))
    const job = smallJob([], { evaluation: { text: one.text!, samples: 6, length: 64 } })
    const { fpPerplexity } = await runJob(job, memoryHost(session).host)
    const [{ perplexity, relative_tolerance: tolerance }] = one.right
    expect(fpPerplexity!).toBeClose(perplexity!, { relative: tolerance! })
  } finally {
    await rm(folder, { recursive: true })
  }
})
