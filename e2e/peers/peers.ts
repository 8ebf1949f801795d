/**
 * `npm run peers -- [--model DIR --dataset FILE --eval FILE] [--bits 2,3,4] [--groups -1,32] [--types q2_k,…,nvfp4] [--draws 3]
 * [--only WORD] [--made] [--write]`: the same model quantized by this project and by other programs, from the same windows of tokens, and everybody's
 * dequantized weights measured by one float32 evaluator in PyTorch. Without a model it takes the embedded demo. What was made already in
 * `.cache/peers` is not made again, unless the source or the setting is another; with `--made` nothing is. `--write` puts the figures into the
 * tables of README.md beside this file, whose other cells stay as they are.
 *
 * It needs Python 3.11 and a few gigabytes: the pinned packages go into `.cache`.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { headless } from '../../src/engine/hosts/node.ts'
import { heldOutShare, type Job } from '../../src/engine/job/job.ts'
import { examine } from '../../src/engine/plan/check.ts'
import { openAsked } from '../asked.ts'
import { llamaLibrary } from '../llama-cpp.ts'
import { cacheOf, type Environment, runPython } from '../python.ts'
import { boldLowest, keepTable, markdown, mergedTable, tableIn } from '../tables.ts'

const here = 'e2e/peers'
const cache = cacheOf(here)
const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    dataset: { type: 'string' },
    eval: { type: 'string' },
    bits: { type: 'string', default: '2,3,4' },
    groups: { type: 'string', default: '-1,32' },
    types: { type: 'string', default: 'q2_k,q3_k,q4_k,q5_k,q6_k,q4_0,mxfp4,nvfp4' },
    draws: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    made: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})

const NOT_MADE = 'not made'

/** Bits and groups, or a type of GGUF. */
interface Grid {
  title: string
  bits?: number
  group?: number
  type?: string
}

interface Recipe {
  label: string
  /** Its name in peers.py, or null for this project. */
  maker: string | null
  recipe: string
  of: 'bits' | 'types'
  environment?: Environment
  /** Flags of our command line. */
  flags?: string[]
}

const clients: Environment = { requirements: 'e2e/interop/requirements.txt' }
const compressor: Environment = { requirements: 'e2e/interop/requirements-foreign.txt' }
const rounders: Environment = { requirements: 'e2e/peers/requirements-rounders.txt' }
const ours = (of: Recipe['of'], label: string, method: string, ...flags: string[]): Recipe => ({
  label,
  maker: null,
  recipe: [method, ...flags].join('').replace(/[^a-z_]/g, ''),
  of,
  flags: ['--quantization-method', method, '--true-sequential', ...flags],
})
const recipes: Recipe[] = [
  ours('bits', '**QuantEase+**', 'quantease_plus'),
  ours('bits', '**QuantEase+, whole search, 8 sweeps**', 'quantease_plus', '--no-quick', '--num-iter', '8'),
  ours('bits', '**GPTQ, act-order, weighted grid**', 'gptq', '--act-order', '--static-groups', '--grid', 'weighted'),
  { label: 'GPTQModel: GPTQ, act-order, static groups, mse', maker: 'gptqmodel', recipe: 'gptq', of: 'bits', environment: clients },
  { label: 'GPTQModel: GPTAQ, act-order, mse', maker: 'gptqmodel', recipe: 'gptaq', of: 'bits', environment: clients },
  { label: 'llm-compressor: GPTQ, mse observer', maker: 'llm-compressor', recipe: 'gptq', of: 'bits', environment: compressor },
  { label: 'AutoRound, 200 steps', maker: 'auto-round', recipe: 'steps', of: 'bits', environment: rounders },
  { label: 'AutoRound, 200 steps, NeUQI', maker: 'auto-round', recipe: 'neuqi', of: 'bits', environment: rounders },
  { label: 'HQQ', maker: 'hqq', recipe: 'hqq', of: 'bits', environment: rounders },
  ours('types', '**QuantEase+**', 'quantease_plus'),
  { label: 'llama.cpp, importance matrix', maker: 'llama.cpp', recipe: 'imatrix', of: 'types', environment: clients },
  { label: 'llama.cpp', maker: 'llama.cpp', recipe: 'plain', of: 'types', environment: clients },
].filter(({ label }) => label.includes(values.only)) as Recipe[]

const list = (asked: string) => asked.split(',').filter(Boolean)
const grids: Record<Recipe['of'], Grid[]> = {
  bits: list(values.groups).flatMap((group) =>
    list(values.bits).map((bits) => ({
      title: `${bits} bits, ${group === '-1' ? 'full row' : `groups of ${group}`}`,
      bits: Number(bits),
      group: Number(group),
    })),
  ),
  types: list(values.types).map((type) => ({ title: type.toUpperCase(), type })),
}

interface Task {
  recipe: Recipe
  grid: Grid
  draw: number
  /** A file of weights, or for this project a folder. */
  out: string
}

interface Said {
  out: string
  kl?: number
  standardError?: number
  perplexity?: number
  error?: string | null
}

/** The model as a folder, the texts as files, and for each draw a file of windows: those of Σ and the held-out ones. */
async function prepare() {
  const demo = (name: string) => join('public', 'demo', name)
  const source = values.model ?? join(cache, 'demo')
  if (!values.model) {
    await mkdir(source, { recursive: true })
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
      await copyFile(demo(file), join(source, file))
  }
  const dataset = values.dataset ?? demo('calibration.txt')
  const evaluation = values.eval ?? demo('evaluation.txt')
  const { session, ...texts } = await openAsked({ model: source, dataset, eval: evaluation })
  const digest = createHash('sha256')
  for (const path of [join(source, 'model.safetensors'), dataset, evaluation]) digest.update(await readFile(path))
  const work = join(cache, `${basename(resolve(source))}-${digest.digest('hex').slice(0, 8)}`)
  await mkdir(work, { recursive: true })
  for (let seed = 0; seed < Number(values.draws); seed++) {
    const job: Job = {
      runs: [{ id: 'any', label: 'any', method: 'rtn', options: {} }],
      calibration: { text: texts.calibration, samples: 16, length: 128, sampling: 'random', heldOut: heldOutShare },
      evaluation: { text: texts.evaluation, samples: 32, length: 256 },
      seed,
      perplexityEvery: 0,
      save: false,
    }
    const { plan, check } = await examine(job, session)
    if (!plan) throw new Error(`The plan is refused: ${JSON.stringify(check.problems)}`)
    const write = (name: string, windows: Int32Array[]) => writeFile(join(work, name), JSON.stringify(windows.map((one) => [...one])))
    await write(`calibration-${seed}.json`, [...plan.calibration, ...plan.heldOut])
    await write('evaluation.json', plan.evaluation)
  }
  return { source: resolve(source), dataset, evaluation, work: resolve(work) }
}

type Prepared = Awaited<ReturnType<typeof prepare>>

/** Our command line on a task, with the weights as plain float files in the model's own dtype. */
async function quantize({ recipe, grid, draw, out }: Task, { source, dataset, evaluation }: Prepared): Promise<void> {
  const on = grid.type
    ? ['--type', grid.type, '--embedding-type', 'full', '--head-type', 'full']
    : ['--wbits', String(grid.bits), '--groupsize', String(grid.group)]
  const sizes = ['--nsamples', '16', '--seqlen', '128', '--sampling', 'random', '--seed', String(draw), '--eval-samples', '1']
  const partial = `${out}.new`
  await rm(partial, { recursive: true, force: true })
  const args = ['--model', source, '--dataset', dataset, '--eval', evaluation, ...sizes, ...on, ...recipe.flags!, '--format', 'dense']
  const done = spawnSync(process.execPath, ['src/setup.mjs', 'quantize', ...args, '--save', partial, '--json'], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`${recipe.label}, ${grid.title}: ${done.stderr.split('\n').slice(-4).join(' ')}`)
  await rename(partial, out)
}

/** Makes what is missing; returns what could not be made, and why. */
async function make(tasks: Task[], prepared: Prepared): Promise<Map<string, string>> {
  const failed = new Map<string, string>()
  for (const task of tasks.filter(({ recipe, out }) => !recipe.maker && !existsSync(out))) {
    console.error(`${task.recipe.label}, ${task.grid.title}, draw ${task.draw}`)
    await quantize(task, prepared)
  }
  Object.assign(process.env, { GGML_BASE: llamaLibrary('ggml-base'), OMP_NUM_THREADS: '2' })
  for (const maker of new Set(tasks.flatMap(({ recipe }) => recipe.maker ?? []))) {
    const own = tasks.filter(({ recipe, out }) => recipe.maker === maker && !existsSync(out))
    if (!own.length) continue
    await order(
      own.map(({ recipe, grid, draw, out }) => ({
        maker,
        recipe: recipe.recipe,
        ...grid,
        source: prepared.source,
        windows: join(prepared.work, `calibration-${draw}.json`),
        out,
      })),
      prepared,
    )
    const { environment } = own[0].recipe
    await runPython<Said>(environment!, join(here, 'peers.py'), [maker, prepared.work], ({ out, error }) => {
      if (error) failed.set(out, error)
    })
  }
  return failed
}

const order = (tasks: object[], { work }: Prepared) => writeFile(join(work, 'tasks.json'), JSON.stringify(tasks))

async function main(): Promise<void> {
  const prepared = await prepare()
  const tasks = recipes.flatMap((recipe) =>
    grids[recipe.of].flatMap((grid) =>
      Array.from({ length: Number(values.draws) }, (_, draw): Task => {
        const name = [recipe.maker ?? 'ours', recipe.recipe, grid.type ?? `${grid.bits}-${grid.group}`, draw].join(' ')
        return { recipe, grid, draw, out: join(prepared.work, name + (recipe.maker ? '.safetensors' : '')) }
      }),
    ),
  )
  const failed = values.made ? new Map<string, string>() : await make(tasks, prepared)
  const made = tasks.filter(({ out }) => existsSync(out))
  const common = { maker: 'measure', source: prepared.source, windows: join(prepared.work, 'evaluation.json') }
  await order(
    made.map(({ out }) => ({ ...common, weights: out, out })),
    prepared,
  )
  const said = new Map<string, Said>()
  // Where others compute too, two threads wait for each other thirty times as long as windows this small take.
  process.env.OMP_NUM_THREADS = '1'
  await runPython<Said>(clients, join(here, 'peers.py'), ['measure', prepared.work], (one) => said.set(one.out, one))
  for (const [out, error] of failed) console.error(`${basename(out)}: ${error}`)
  const model = values.model ? basename(prepared.source) : 'demo'
  for (const of of ['bits', 'types'] as const) {
    if (!grids[of].length) continue
    const table = tableOf(of, tasks, said, failed)
    console.log(`${boldLowest(table)}\n`)
    if (!values.write) continue
    const [document, name] = [join(here, 'README.md'), `${of} on ${model}`]
    await keepTable(document, name, boldLowest(mergedTable(tableIn(await readFile(document, 'utf8'), name), table, NOT_MADE)))
  }
}

/** Mean KL over the draws with its standard deviation, and the number of draws where some are missing. */
function tableOf(of: Recipe['of'], tasks: Task[], said: Map<string, Said>, failed: Map<string, string>): string {
  const rows = recipes.filter((recipe) => recipe.of === of)
  const draws = (recipe: Recipe, grid: Grid) => tasks.filter((task) => task.recipe === recipe && task.grid === grid)
  const divergences = (recipe: Recipe, grid: Grid) => draws(recipe, grid).flatMap(({ out }) => said.get(out)?.kl ?? [])
  const mean = (found: number[]) => found.reduce((sum, one) => sum + one, 0) / found.length
  return markdown(
    ['KL (nats)', ...grids[of].map(({ title }) => title)],
    rows.map((recipe) => [
      recipe.label,
      ...grids[of].map((grid) => {
        const found = divergences(recipe, grid)
        if (!found.length) return draws(recipe, grid).some(({ out }) => failed.has(out)) ? 'cannot' : NOT_MADE
        const deviation = Math.sqrt(mean(found.map((one) => (one - mean(found)) ** 2)))
        const spread = deviation < 1e-9 * mean(found) ? '0' : deviation.toPrecision(1)
        const few = found.length < Number(values.draws) ? ` (${found.length} of ${values.draws} draws)` : ''
        return `${mean(found).toPrecision(3)} ± ${spread}${few}`
      }),
    ]),
  )
}

headless(main)
