/** Every family against transformers: same numbers, from the files that transformers wrote. */
import { readdir } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../gpu/device.ts'
import { embed } from '../gpu/ops.ts'
import { testGpu } from '../gpu/testing.ts'
import { openFolder } from '../io/folder.ts'
import { compare } from './fixtures/compare.ts'
import { expectedOf, fixtureFiles, fixtures } from './fixtures/fixtures.ts'
import { stateWidth } from './family.ts'
import { inputsOf } from './token-inputs.ts'
import { families } from './index.ts'
import { disposeBlock, disposePanels, loadBlock, loadOuter } from './weights.ts'
import { openModel } from './open.ts'

let gpu: Device
beforeAll(async () => {
  gpu = await testGpu()
})

describe.each(fixtures)('$name', (fixture) => {
  it('agrees with transformers: logits, inputs of the linears, Gram matrices', async () => {
    const expected = await expectedOf(fixture)
    const opened = openModel(await openFolder(await fixtureFiles(fixture)))
    const { logits, inputs, grams } = await compare(gpu, opened, expected)
    expect(logits).toBeLessThan(1e-4)
    // Each stage of the first and the last block was compared, and none of them is off.
    for (const differences of [inputs, grams]) {
      expect(differences.size).toBe(opened.model.layouts[0].stages.length + opened.model.layouts.at(-1)!.stages.length)
      expect([...differences].filter(([, far]) => !(far < 1e-4))).toEqual([])
    }
  })
})

/** One of each arrangement of a block. */
const various = [
  'qwen3',
  'qwen3.5',
  'gemma-2',
  'gemma-3',
  'gemma-4',
  'gemma-4-e2b',
  'olmo2',
  'phi-4-mini',
  'granite',
  'opt',
  'opt-350m',
  'bloom',
  'falcon-7b',
  'falcon-40b',
  'falcon-rw-1b',
]

describe('stopped half-way', () => {
  it.each(various)('%s frees what it used', async (name) => {
    const opened = openModel(await openFolder(await fixtureFiles(fixtures.find((one) => one.name === name)!)))
    const { model } = opened
    const weights = await loadBlock(gpu, opened, 0)
    const x = gpu.zeros([16, stateWidth(model.shape)])
    await gpu.sync()
    gpu.trim()
    const before = gpu.memory.held
    for (let stop = 0; stop < model.layouts[0].stages.length; stop++) {
      for await (const { stage } of model.block(gpu, weights, x, { windows: 1, t: 16 }, 0)) if (stage === stop) break
    }
    gpu.trim()
    expect(gpu.memory.held).toBe(before)
    x.dispose()
    disposeBlock(weights)
  })
})

describe('with bindings smaller than weights and activations', () => {
  it.each(various)('%s computes the same', async (name) => {
    const opened = openModel(await openFolder(await fixtureFiles(fixtures.find((one) => one.name === name)!)))
    const { model } = opened
    const windows = { windows: 2, t: 16 }
    const ids = Uint32Array.from({ length: 32 }, (_, i) => (i * 37) % model.shape.vocab)
    const run = async () => {
      const outer = await loadOuter(gpu, opened)
      let x = model.start(gpu, outer.weights, embed(gpu, outer.head, ids), windows)
      const told = { ...windows, ...(await inputsOf(gpu, opened, ids, outer.weights, outer.head)) }
      for (let k = 0; k < model.shape.blocks; k++) {
        const weights = await loadBlock(gpu, opened, k)
        const steps = model.block(gpu, weights, x, told, k)
        let step = await steps.next()
        while (!step.done) step = await steps.next()
        x.dispose()
        x = step.value
        disposeBlock(weights)
      }
      const last = model.finish(gpu, outer.weights, x)
      const values = (await gpu.read(last)) as Float32Array
      for (const tensor of [x, last]) tensor.dispose()
      disposeBlock(outer.weights)
      disposePanels(outer.head)
      return values
    }
    const whole = await run()
    const { maxBinding } = gpu.info
    // 64 rows of the embedding fit, and neither the fused weights nor the activations of an MLP do.
    gpu.info.maxBinding = 10 * 1024
    try {
      const cut = await run()
      expect(cut).toBeClose(whole, { ofLargest: 1e-6 })
    } finally {
      gpu.info.maxBinding = maxBinding
    }
  })
})

describe('the list of fixtures', () => {
  it('names every folder, and every family has a fixture', async () => {
    const entries = await readdir('src/models/fixtures', { withFileTypes: true })
    const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
    expect([...new Set(fixtures.map(({ folder }) => folder))].sort()).toEqual(folders.sort())
    const served = new Set<string>()
    for (const fixture of fixtures) {
      served.add(openModel(await openFolder(await fixtureFiles(fixture))).family.id)
    }
    expect([...served].sort()).toEqual(families.map(({ id }) => id).sort())
  })
})
