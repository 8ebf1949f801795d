/**
 * The other way round: checkpoints of the demo model that GPTQModel, llm-compressor and AutoRound write (foreign.py), measured by our
 * command line. Each has the perplexity that their own readers find on the same tokens, within 0.5 %, or is refused by name.
 */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { keepTable, markdown } from '../tables.ts'
import { demo, demoPlan, files, LENGTH, WINDOWS } from './demo.ts'
import { type Environment, runPython } from '../python.ts'
import { cache, here, type Measured, measure } from './clients.ts'

const most = 5e-3

interface Recipe {
  /** Its name in foreign.py. */
  name: string
  what: string
  /** What our refusal says; without one the checkpoint opens. */
  refusal?: RegExp
  /** The client that measures it, with the packages of clients; without one transformers, with the packages of its maker. */
  reader?: 'gptqmodel' | 'transformers'
}

const clients: Environment = { requirements: 'e2e/interop/requirements.txt' }
const makers: { name: string; environment: Environment; recipes: Recipe[] }[] = [
  {
    name: 'gptqmodel',
    environment: clients,
    recipes: [
      { name: 'gptq-4', what: 'GPTQ, 4 bits, groups of 32' },
      { name: 'gptq-order', what: 'GPTQ, 4 bits, groups of 32 that follow act-order' },
      { name: 'gptq-3', what: 'GPTQ, 3 bits, full row' },
      { name: 'gptq-8', what: 'GPTQ, 8 bits, groups of 64' },
      { name: 'gptq-v2', what: 'GPTQ v2, 4 bits, asymmetric' },
      { name: 'gptq-same', what: 'GPTQ with a `dynamic` rule that changes nothing' },
      { name: 'gptq-part', what: 'GPTQ of 3 of 4 blocks, by a `dynamic` rule', reader: 'gptqmodel' },
      {
        name: 'gptq-mixed',
        what: 'GPTQ with 8 bits for some linears, by a `dynamic` rule',
        refusal: /dynamic rule .*down_proj.* sets bits to 8/,
      },
      { name: 'gptq-head', what: 'GPTQ of the head, too', refusal: /contain lm_head\.qweight.*\n.*embedding and head/ },
      { name: 'awq-4', what: 'AWQ, 4 bits, groups of 32' },
    ],
  },
  {
    name: 'llm-compressor',
    environment: { requirements: 'e2e/interop/requirements-foreign.txt' },
    recipes: [
      { name: 'W4A16', what: 'W4A16' },
      { name: 'W4A16_ASYM', what: 'W4A16_ASYM' },
      { name: 'W8A16', what: 'W8A16' },
      { name: 'ct-order', what: 'GPTQ, 4 bits, groups of 32, act-order (weight)' },
      { name: 'ct-3', what: '3 bits, groups of 32, asymmetric' },
      { name: 'ct-2', what: '2 bits, groups of 32' },
      { name: 'ct-mixed', what: '4 bits, and 8 for the down projections' },
      { name: 'W8A8', what: 'W8A8', refusal: /"int-quantized"/ },
      { name: 'FP8', what: 'FP8_DYNAMIC', refusal: /"float-quantized"/ },
      { name: 'NVFP4', what: 'NVFP4A16' },
    ],
  },
  {
    name: 'auto-round',
    environment: { requirements: 'e2e/interop/requirements-foreign.txt' },
    recipes: [
      { name: 'ar-gptq', what: 'auto_gptq, 4 bits, groups of 128', reader: 'transformers' },
      { name: 'ar-2', what: 'auto_gptq, 2 bits, groups of 64', reader: 'transformers' },
      { name: 'ar-awq', what: 'auto_awq, 4 bits, groups of 128', reader: 'transformers' },
      { name: 'ar-ct', what: 'llm_compressor, 4 bits, groups of 128' },
      { name: 'ar-own', what: 'auto_round, 4 bits, groups of 128', refusal: /AutoRound/ },
    ],
  },
]

/** What our command line says of a checkpoint: its perplexity, or its refusal. */
function ours(folder: string): number | string {
  const windows = ['--eval', demo('evaluation.txt'), '--eval-samples', String(WINDOWS), '--seqlen', String(LENGTH)]
  const args = ['src/setup.mjs', 'quantize', '--model', folder, '--wbits', '16', ...windows, '--json']
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (stdout) return (JSON.parse(stdout) as { perplexity: number }).perplexity
  return stderr.split('\n').slice(-3).join('\n').trim()
}

/** A row of the table, and whether it is as it should be. */
function judge(maker: string, { what, refusal, reader }: Recipe, said: number | string, by: Measured | undefined) {
  const texts = (right: boolean, ...cells: string[]) => ({
    right,
    row: [maker, what, ...cells].map((cell, i) => (right || i !== 2 ? cell : `**${cell}**`)),
  })
  if (refusal || typeof said === 'string') {
    const right = typeof said === 'string' && refusal !== undefined && refusal.test(said)
    return texts(right, typeof said === 'string' ? `refused: ${said.split('\n')[0].replace(/ \([a-z-]+\)$/, '')}` : said.toFixed(4), '')
  }
  const close = by?.perplexity !== undefined && Math.abs(said / by.perplexity - 1) < most
  return texts(
    close,
    said.toFixed(4),
    by?.perplexity === undefined ? (by?.error ?? '') : `${by.perplexity.toFixed(4)}${reader === 'gptqmodel' ? ' (GPTQModel)' : ''}`,
  )
}

/** Makes and measures everything, or what the named makers make. Returns the exit status. */
export async function foreign(named: readonly string[], write: boolean): Promise<number> {
  if (write && named.length) throw new Error('--write needs every maker: leave the names out.')
  await demoPlan([{ id: 'any', label: 'any', method: 'rtn', options: {} }])
  for (const folder of ['source', 'untied', 'foreign']) await rm(join(cache, folder), { recursive: true, force: true })
  await mkdir(join(cache, 'source'))
  for (const file of files) await copyFile(demo(file), join(cache, 'source', file))
  const judged: ReturnType<typeof judge>[] = []
  for (const { name, environment, recipes } of makers.filter(({ name }) => !named.length || named.includes(name))) {
    const places = new Map<string, string>()
    const names = recipes.map((recipe) => recipe.name)
    await runPython<{ recipe: string; folder?: string }>(
      environment,
      join(here, 'foreign.py'),
      [name, cache, ...names],
      ({ recipe, folder }) => {
        if (folder) places.set(recipe, relative('.', folder))
      },
    )
    const missing = names.filter((one) => !places.has(one))
    if (missing.length) throw new Error(`${name} did not make ${missing.join(', ')}.`)
    const of = (reader: Recipe['reader']) =>
      recipes.filter((recipe) => !recipe.refusal && recipe.reader === reader).map((recipe) => places.get(recipe.name)!)
    const found = new Map([
      ...(await measure({ id: 'transformers', ...environment }, of(undefined))),
      ...(await measure({ id: 'transformers', ...clients }, of('transformers'))),
      ...(await measure({ id: 'gptqmodel', ...clients }, of('gptqmodel'))),
    ])
    for (const recipe of recipes) {
      const place = places.get(recipe.name)!
      judged.push(judge(name, recipe, ours(place), found.get(place)))
    }
  }
  const table = markdown(
    ['written by', 'checkpoint', 'perplexity here', 'there'],
    judged.map(({ row }) => row),
  )
  console.log(table)
  if (write) await keepTable(join(here, 'README.md'), 'foreign', table)
  const wrong = judged.filter(({ right }) => !right).length
  console.log(`\n${judged.length - wrong} passed, ${wrong} failed`)
  return wrong ? 1 : 0
}
