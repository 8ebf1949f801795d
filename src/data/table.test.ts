import { expect, test } from 'vitest'
import { refusal } from '../io/testing.ts'
import { documents, fileText } from './documents.ts'

async function read(content: string, name = 'a.csv', column?: string) {
  const found: string[] = []
  for await (const one of documents({ ...fileText(name, new Blob([content])), column })) found.push(one)
  return found
}

test.each<[string, string[]]>([
  ['text,label\na,1\nb,2', ['a', 'b']],
  ['label,text\n1,"a, ""b""\nc"\n2,\n', ['a, "b"\nc', '']],
  ['\uFEFFtext\r\na\r\n\r\nb\r\n', ['a', 'b']],
  ['id;text\n1;a, b\n', ['a, b']],
  ['id|text\n1|a, b; c\n', ['a, b; c']],
  ['n,body\n1,a\n2,b\n', ['a', 'b']],
  ['text,label\na\n', ['a']],
])('%j holds %j', async (content, texts) => {
  expect(await read(content)).toEqual(texts)
})

test('the program’s own table of figures is no text', async () => {
  const { code, message } = await refusal(() => read('run,label,linear,figure,at,value\r\n,,,"perplexity, full precision",,3.9\r\n'))
  expect([code, message]).toEqual(['text-invalid', 'a.csv holds the figures of a job, as this program saves them: it is no text.'])
})

test('a table is read by the megabyte, and its rows do not care where one ends', async () => {
  const cells = Array.from({ length: 9000 }, (_, i) => `${i} ${'rope, "lamp"\n'.repeat(i % 40)}`)
  const table = `id,text\n${cells.map((cell, i) => `${i},"${cell.replaceAll('"', '""')}"`).join('\n')}`
  expect(table.length).toBeGreaterThan(2 << 20)
  expect(await read(table)).toEqual(cells)
})

test('a column is named where several hold text, and what is no table is refused with its row', async () => {
  expect((await refusal(() => read('question,answer\na,b\n'))).hint).toContain('question, answer')
  expect(await read('question,answer\na,b\n', 'a.csv', 'answer')).toEqual(['b'])
  expect(await read('question\tanswer\na, "c" d\tb\n', 'a.tsv', 'question')).toEqual(['a, "c" d'])
  expect((await refusal(() => read('text,label\na,b\nc,d,e\n'))).message).toContain(
    'Row 2 of a.csv is not a valid table row: it has 3 cells',
  )
  expect((await refusal(() => read('text,label\na,b\n"c,d\n'))).message).toContain('Row 2 of a.csv is not a valid table row')
  expect((await refusal(() => read('text,label\n"a,b\n'))).message).toContain('Row 1 of a.csv is not a valid table row')
  expect((await refusal(() => read('"text,label\n'))).message).toContain('The first line of a.csv is not a valid table row')
})
