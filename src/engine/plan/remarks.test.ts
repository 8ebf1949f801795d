import { expect, test } from 'vitest'
import { openConfig } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { blankModel } from '../../models/blank.ts'
import type { Options } from '../../options.ts'
import type { Override } from '../../overrides.ts'
import { planRun } from './plan.ts'
import { remarks } from './remarks.ts'

const config = {
  model_type: 'llama',
  hidden_size: 256,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 384,
  vocab_size: 64,
  max_position_embeddings: 128,
  torch_dtype: 'bfloat16',
}

async function remarksOn(changes: object, method: string, options: Options, overrides: Override[] = []) {
  const files = memoryFiles([['tiny/config.json', JSON.stringify({ ...config, ...changes })]])
  const opened = blankModel((await openConfig(files))!)
  const spec = { id: 'run', label: 'RTN', method, options, ...(overrides.length && { overrides }) }
  const run = planRun(spec, opened, 2 ** 30, false, [], (_, message) => expect.fail(message))!
  return remarks(run, opened, false)
}

async function saidOf(changes: object, options: Options, overrides: Override[] = []) {
  return (await remarksOn(changes, 'rtn', options, overrides)).flatMap(({ field, message }) => (field === 'kind' ? message : []))
}

test.each<[method: string, options: Options, said: string | null]>([
  ['quantease', { structureOutlier: true }, 'Whole columns has no effect without outliers.'],
  ['quantease', { relax: false, iterations: 2 }, 'Relaxed sweeps has no effect with iterations below 3.'],
  ['quantease', { relax: false, iterations: 3 }, null],
  ['quantease', { actOrder: true, staticGroups: true }, 'Static groups has no effect with group size full row.'],
  ['quantease', { groupSize: 64, staticGroups: true }, 'Static groups has no effect without act-order.'],
  ['gptq', { groupSize: 64, staticGroups: true }, null],
  ['gptq', { targetAlpha: 0.5 }, 'Strength of the correction has no effect with target original.'],
  ['awq', { clip: false, grid: 'mse' }, 'Clip search has no effect with grid mse.'],
  ['rtn', { trueSequential: true, fullInputs: true }, 'True-sequential has no effect with full-precision inputs.'],
  ['rtn', { groupIndex: false }, 'Group index in GPTQ files has no effect without a checkpoint in GPTQ.'],
])('an option that changes nothing is told: %s %j', async (method, options, said) => {
  const told = (await remarksOn({}, method, options)).map(({ message }) => message).filter((message) => message.includes('no effect'))
  expect(told).toEqual(said === null ? [] : [said])
})

test('a type of GGUF whose rows a model does not have is told, with what takes its place and its size', async () => {
  expect(await saidOf({ intermediate_size: 512 }, { kind: 'q4_k' })).toEqual([])
  expect(await saidOf({}, { kind: 'q4_k' })).toEqual([
    'Q5_0 (5.50 bits per weight) in place of Q4_K for 2 of 14 linears, as in llama.cpp: Q4_K takes rows of whole multiples of 256 weights, not of 384.',
  ])
  const narrow = { hidden_size: 128, intermediate_size: 384, tie_word_embeddings: true }
  const told = await saidOf(narrow, { kind: 'q2_k' }, [{ pattern: 'down_proj', options: { kind: 'q6_k' } }])
  expect(told.map((message) => message.split(',')[0])).toEqual([
    'IQ4_NL (4.50 bits per weight) in place of Q2_K for 12 of 14 linears',
    'Q8_0 (8.50 bits per weight) in place of Q6_K for 2 of 14 linears',
    'Q8_0 (8.50 bits per weight) in place of Q6_K for the embedding and head',
  ])
})
