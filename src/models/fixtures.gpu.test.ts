/** Every family against transformers: same numbers, from the files that transformers wrote. */
import { readdir } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Gpu } from '../gpu/device.ts'
import { testGpu } from '../gpu/testing.ts'
import { openFolder } from '../io/folder.ts'
import { compare } from './fixtures/compare.ts'
import { expectedOf, fixtureFiles, fixtures } from './fixtures/fixtures.ts'
import { families } from './index.ts'
import { openModel } from './weights.ts'

let gpu: Gpu
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
      expect(differences.size).toBe(2 * opened.model.stages.length)
      expect([...differences].filter(([, far]) => !(far < 1e-4))).toEqual([])
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
