/** Numbers that overflow: the error names the block where it begins, whether the model is measured or quantized. */
import { describe, expect, it, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import type { Tensors } from '../../models/testing.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, memoryText, smallJob, tinyFiles } from '../testing.ts'

const session = new Session(testSource(), [
  memoryText('plain', 'one two three '.repeat(80)),
  memoryText('odd', 'one two QQQ three '.repeat(80)),
])

/** Multiplies a tensor. */
function times(tensors: Tensors, name: string, factor: number): void {
  const { data } = tensors.get(name)!
  for (let i = 0; i < data.length; i++) data[i] *= factor
}

/** Gives the first hidden unit to one token alone, and makes the first MLP overflow where that unit is not 0. */
function overflowAt(tensors: Tensors, token: number): void {
  const set = (name: string, choose: (row: number, column: number) => number | null) => {
    const { shape, data } = tensors.get(name)!
    for (let i = 0; i < data.length; i++) data[i] = choose(Math.floor(i / shape[1]), i % shape[1]) ?? data[i]
  }
  const { shape, data } = tensors.get('model.embed_tokens.weight')!
  tensors.set('lm_head.weight', { shape, data: data.slice() })
  set('model.embed_tokens.weight', (row, column) => (column ? null : Number(row === token)))
  for (const k of [0, 1]) {
    for (const name of ['self_attn.o_proj', 'mlp.down_proj']) set(`model.layers.${k}.${name}.weight`, (row) => (row ? null : 0))
  }
  for (const name of ['gate_proj', 'up_proj']) set(`model.layers.0.mlp.${name}.weight`, (_, column) => (column ? null : 1e25))
}

async function run(change: (tensors: Tensors) => void, quantize = false) {
  await session.open(await tinyFiles(change))
  const { host } = memoryHost(session)
  const runs = quantize ? [{ id: 'a', method: 'rtn', label: 'RTN', options: {} }] : []
  const evaluation = { text: 'plain', samples: 2, length: 16 }
  return runJob(smallJob(runs, { calibration: { text: 'odd', samples: 2, length: 32, sampling: 'consecutive' }, evaluation }), host)
}

describe('the full-precision model', () => {
  test.each<[string, (tensors: Tensors) => void, RegExp]>([
    [
      'the MLP of the second block',
      (tensors) => times(tensors, 'model.layers.1.mlp.up_proj.weight', 1e38),
      /the (output of|input of mlp\.down_proj).*model\.layers\.1|block model\.layers\.1, the input of mlp\.down_proj/i,
    ],
    [
      'attention in the first block',
      (tensors) => ['v_proj', 'o_proj'].forEach((name) => times(tensors, `model.layers.0.self_attn.${name}.weight`, 1e30)),
      /the output of block model\.layers\.0|in block model\.layers\.0, the input of (self_attn\.o_proj|mlp)/i,
    ],
    [
      'the last norm',
      (tensors) => times(tensors, 'model.norm.weight', 1e38),
      /the loss is infinite or not a number.*every block puts out finite numbers/i,
    ],
  ])('is refused for %s that overflows', async (_, change, message) => {
    const error = await run(change).catch((thrown) => thrown)
    expect(error).toMatchObject({ code: 'activations-not-finite', message: expect.stringMatching(message) })
    expect(error.hint).toMatch(/config\.json/)
  })

  it('is measured when nothing overflows', async () => {
    expect((await run(() => {})).fpPerplexity).toBeGreaterThan(1)
  })
})

it('a run ends with the error when only the calibration text overflows', async () => {
  await session.open(await tinyFiles())
  const rare = session.tokenizer.encode('one two QQQ three').find((id) => !session.tokenizer.encode('one two three one').includes(id))!
  const { fpPerplexity, runs } = await run((tensors) => overflowAt(tensors, rare), true)
  expect(fpPerplexity).toBeGreaterThan(1)
  expect(runs[0]).toMatchObject({
    state: 'failed',
    error: {
      code: 'activations-not-finite',
      message: expect.stringMatching(/^In block model\.layers\.0, the input of mlp\.down_proj is infinite .* sum of squares/),
    },
  })
})
