/** Flags without effect: each is named, whatever the reason, and none ends the program. */
import { expect, test } from 'vitest'
import { catalog } from '../engine/catalog.ts'
import { readArguments } from './arguments.ts'
import { understand } from './asked.ts'
import { withoutEffect } from './effect.ts'

const all = { ...catalog(), texts: [] }
const notes = (...args: string[]) => {
  const given = readArguments(all, ['--model', 'demo', ...args])
  return withoutEffect(all, given, understand(all, given))
}

test.each([
  [['--quantization-method', 'rtn', '--percdamp', '0.1', '--num-iter', '3'], '--num-iter, --percdamp have no effect with rtn'],
  [['--device', 'rtx-4090', '--device-memory', '8'], '--device, --device-memory have no effect without --dry-run'],
  [['--date', '2026-01-01'], '--date has no effect without --chat-template'],
  [['--lambada-passages', '3'], '--lambada-passages has no effect without --lambada'],
  [['--temperature', '1'], '--temperature has no effect without --prompt'],
  [['--dry-run', '--seed', '1', '--save', 'out', '--format', 'gptq'], '--seed, --save have no effect with --dry-run'],
  [['--wbits', '16', '--sym'], '--sym has no effect with --wbits 16'],
  [['--wbits', '16', '--prompt', 'Once', '--eval-samples', '3'], '--eval-samples has no effect with a --prompt and no --eval'],
])('%j', (args, said) => {
  expect(notes(...args)).toEqual([expect.stringContaining(said)])
})

test('what has an effect is not named', () => {
  expect(notes('--quantization-method', 'gptq', '--percdamp', '0.1', '--chat-template', '--date', '2026-01-01')).toEqual([])
  expect(notes('--dry-run', '--device', 'rtx-4090', '--percdamp', '0.1', '--nsamples', '4')).toEqual([])
})
