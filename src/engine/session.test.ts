/** What is open, without a GPU. */
import { expect, test } from 'vitest'
import type { Bytes } from '../io/bytes.ts'
import { Session } from './session.ts'
import { tinyFiles } from './testing.ts'

test('of two openings the one that began last counts, though its files come first', async () => {
  const files = new Map(await tinyFiles())
  const tokenizer = files.get('tokenizer.json')!
  let arrive = () => {}
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const slow: Bytes = {
    size: tokenizer.size,
    slice: (begin, end) => tokenizer.slice(begin, end),
    arrayBuffer: () => arrived.then(() => tokenizer.arrayBuffer()),
  }
  const session = new Session(undefined)
  const source = { repo: 'owner/slow', ref: 'main', revision: '0'.repeat(40) }
  const first = session.open(new Map([...files, ['tokenizer.json', slow]]), 'slow', source)
  await session.open(files, 'quick')
  arrive()
  await expect(first).rejects.toMatchObject({ code: 'cancelled' })
  expect([session.model.folder.name, session.summary!.name, session.source]).toEqual(['quick', 'quick', null])
})
