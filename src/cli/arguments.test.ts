import { expect, test } from 'vitest'
import { catalog } from '../engine/catalog.ts'
import { help, specsOf } from './arguments.ts'

test('--help fits 80 columns, and tells every option once', () => {
  const all = { ...catalog(), texts: [] }
  const lines = help(all).split('\n')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  const flags = lines.flatMap((line) => /^ {2}--(?:no-)?([\w-]+)/.exec(line)?.[1] ?? [])
  expect(flags.filter((flag, i) => flags.indexOf(flag) < i)).toEqual([])
  expect(flags).toEqual(expect.arrayContaining([...specsOf(all)].map(({ flag }) => flag.replace(/^no-/, ''))))
})
