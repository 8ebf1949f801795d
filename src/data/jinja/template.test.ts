import { expect, test } from 'vitest'
import { exactJson } from '../../io/values.ts'
import { conversationOf, loadChatTemplate } from '../chat.ts'
import table from '../fixtures/templates/snippets.json' with { type: 'json' }

const { messages, snippets } = table as { messages: unknown; snippets: [string, string | null][] }
const conversation = conversationOf(exactJson(JSON.stringify(messages)))!

/** What one snippet makes of the conversation, or why it is refused. */
async function outcome(source: string): Promise<{ text: string } | { refused: string }> {
  const config = new Blob([JSON.stringify({ bos_token: '<s>', eos_token: '</s>' })])
  const files = new Map([
    ['tokenizer_config.json', config],
    ['chat_template.jinja', new Blob([source])],
  ])
  try {
    const template = await loadChatTemplate(files)
    return { text: template!.on('2026-11-30')(conversation, 'Row 1') }
  } catch (error) {
    return { refused: (error as Error).message }
  }
}

/** Refused by name, though Jinja2 renders them. */
const named = /which is not supported here|is not supported here/

test('every snippet renders as Jinja2 renders it, is refused as Jinja2 refuses it, or is refused by name', async () => {
  const wrong: string[] = []
  let unread = 0
  for (const [source, right] of snippets) {
    const done = await outcome(source)
    if ('text' in done ? done.text === right : right === null) continue
    if ('refused' in done && named.test(done.refused)) unread++
    else wrong.push(`${source}\n  right: ${JSON.stringify(right)}\n  here:  ${JSON.stringify(done)}`)
  }
  expect(wrong.join('\n')).toBe('')
  // Of some three thousand these are the methods and filters that are not read, and what was marked as safe.
  expect(unread).toBeLessThan(snippets.length / 20)
})
