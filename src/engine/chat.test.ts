/** The date of a chat template: one for a job, told apart in what is kept, and refused templates by their reason. */
import { expect, test } from 'vitest'
import { caseFile } from '../../e2e/cases/cases.ts'
import { type ChatTemplateFile, loadChatTemplate } from '../data/chat.ts'
import { loadTokenizer } from '../data/tokenizer.ts'
import { WorkbenchError } from '../errors.ts'
import { refusal } from '../io/testing.ts'
import { Texts } from './texts.ts'

const lines = '{"messages":[{"role":"user","content":"Hi"}]}\n'.repeat(3)
const file = {
  id: 'talks',
  label: 'talks',
  fileName: 'talks.jsonl',
  bytes: lines.length,
  origin: 'file' as const,
  open: async () => new Blob([lines]),
}
const choice = { text: 'talks', chat: true }
const tokenizer = async () => loadTokenizer(new Map([['tokenizer.json', await caseFile('template/tokenizer.json')]]))
const template = (source: string) => loadChatTemplate(new Map([['chat_template.jinja', new Blob([source])]]))

async function texts(chat: ChatTemplateFile | WorkbenchError | null): Promise<Texts> {
  const all = new Texts([file], null)
  all.use(await tokenizer(), chat)
  return all
}

test('a text depends on the date where its template writes it, and only there', async () => {
  const dated = await texts(await template("{{ strftime_now('%Y') }}"))
  expect([dated.usesDate(choice), dated.usesDate({ text: 'talks' })]).toEqual([true, false])
  const length = async (date: string) => (await dated.tokens({ ...choice, date }, 'calibration')).tokens
  expect(await length('2024-01-01')).not.toEqual(await length('2025-01-01'))
  expect(await length('2024-01-01')).toEqual(await length('2024-12-31'))
  expect(await refusal(() => length('soon'))).toMatchObject({ code: 'option-invalid' })
  const plain = await texts(await template('{{ messages[0].content }}'))
  expect(plain.usesDate(choice)).toBe(false)
  expect(await plain.tokens({ ...choice, date: '2024-01-01' }, 'calibration')).toBe(await plain.tokens(choice, 'calibration'))
})

test('a template that cannot be used says why when it is asked for', async () => {
  const broken = await refusal(() => template('{% if %}'))
  const all = await texts(new WorkbenchError(broken.code, broken.message, broken.hint))
  expect((await refusal(() => all.tokens(choice, 'calibration'))).message).toBe(broken.message)
  expect((await refusal(async () => (await texts(null)).tokens(choice, 'calibration'))).message).toBe('The model has no chat template.')
})
