import { expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { openFolder } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { openModel } from '../../models/open.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testDemo, testTexts, tinyFiles } from '../testing.ts'
import { foretell, foretellRun } from './foretell.ts'
import { runJob } from './run.ts'

it('says what the checkpoint says, token by token, and by how much another token is behind', async () => {
  const session = new Session(testSource(), testTexts())
  await session.open(await testDemo())
  const { host, sinks, journal } = memoryHost(session)
  const rtn = { id: 'one', label: 'RTN', method: 'rtn', options: { bits: 4, groupSize: 32 } }
  await runJob(smallJob([rtn], { save: true, keepSolved: true, formats: ['gptq'] }), host)
  const prompt = 'Once upon a time'
  const before = session.tokenizer.encode(prompt)
  // Greedy, by the checkpoint that was written, read as a stranger would.
  const written = openModel(await openFolder(memoryFiles([...sinks.get('one')!.files])))
  const gpu = await session.gpu()
  const none = { linears: async () => new Map(), vectors: async () => null, ends: async () => new Map() }
  const said: number[] = []
  for (let i = 0; i < 6; i++) {
    const [next] = await foretell(
      gpu,
      written,
      { kept: none, spec: {}, blocks: 0 },
      Int32Array.from([...before, ...said, 0]),
      before.length + said.length,
    )
    said.push(next.token)
  }
  const { prompt: tokens, next } = await foretellRun(session, journal, 0, prompt, said)
  expect(tokens).toBe(before.length)
  expect(next.map(({ token }) => token)).toEqual(said)
  expect(next.map(({ ahead }) => ahead)).toEqual(said.map(() => 0))
  const other = said.toSpliced(2, 1, (said[2] + 1) % 1024)
  const told = (await foretellRun(session, journal, 0, prompt, other)).next
  expect(told.slice(0, 3).map(({ token }) => token)).toEqual(said.slice(0, 3))
  expect(told[2].ahead).toBeGreaterThan(0)
  await session.open(await tinyFiles())
  await expect(foretellRun(session, journal, 0, prompt, said)).rejects.toMatchObject({ code: 'journal-mismatch' })
})
