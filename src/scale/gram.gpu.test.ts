/** Gram matrices as files: what workers solve by them is, bit for bit, what one run solves; and what is told of a store that is not whole. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { readArguments } from '../cli/arguments.ts'
import { understand } from '../cli/asked.ts'
import { connect } from '../cli/inputs.ts'
import { Given } from '../cli/arguments.ts'
import { diskFile } from '../engine/hosts/disk.ts'
import { tryLinear } from '../engine/inspect/lab.ts'
import { OpenedStore } from '../engine/inspect/store.ts'
import type { LayerResult } from '../engine/job/result.ts'
import { runJob } from '../engine/run/run.ts'
import type { Bytes } from '../io/bytes.ts'
import { Session } from '../engine/session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../engine/testing.ts'
import { testSource } from '../gpu/testing.ts'
import { calibrate } from './calibrate.ts'
import { exitCodeOf } from './exit.ts'
import { canonical } from './job.ts'
import { storeBytes, storeIndex } from '../io/gram-store.ts'
import { GramStore } from './gram-store.ts'
import { assemble, solve } from './solve.ts'
import { Worker } from './worker.ts'

const session = new Session(testSource(), testTexts())
const hub = connect(new Given({}))
let base: string
let lines: { type: string; [member: string]: unknown }[] = []
/** Called with every event. */
let hear: (event: (typeof lines)[0]) => void = () => {}
const at = (name: string) => join(base, name)

beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'workbench-gram-'))
  for (const [name, change] of [
    ['tiny', {}],
    ['other', { rms_norm_eps: 1e-6 }],
  ] as const) {
    const files = await tinyFiles(undefined, { ...tinyConfig, hidden_size: 64, intermediate_size: 192, ...change })
    await mkdir(at(name))
    for (const [path, file] of files)
      if (!path.includes('/')) await writeFile(join(at(name), path), new Uint8Array(await file.arrayBuffer()))
  }
  const note = (text: unknown) => {
    const event = JSON.parse(String(text))
    lines.push(event)
    hear(event)
    return true
  }
  vi.spyOn(process.stdout, 'write').mockImplementation(note)
  vi.spyOn(process.stderr, 'write').mockImplementation(() => true)
})
beforeEach(() => {
  lines = []
  hear = () => {}
})
afterAll(() => rm(base, { recursive: true, force: true }))

/** What a command ends with. */
const refusal = (work: () => Promise<void>): Promise<Error> =>
  work().then(
    () => Promise.reject(new Error('It was done.')),
    (error) => error,
  )

const works = { calibrate, solve, assemble }
const more = { 'save-gram': 'string', 'solve-elsewhere': 'boolean', gram: 'string', linears: 'string', rows: 'string' } as const

async function run(word: keyof typeof works, words: string, on = session): Promise<void> {
  const given = readArguments(session.catalog, [...words.split(' '), ...(words.includes('--model') ? [] : ['--model', at('tiny')])], more)
  const worker = new Worker(null)
  try {
    await works[word](on, hub, given, understand(session.catalog, given), worker)
  } finally {
    worker.end()
  }
}
const text = '--dataset public/demo/calibration.txt --nsamples 4 --seqlen 32 --sampling consecutive --held-out 1/4'
const measured = '--eval public/demo/evaluation.txt --eval-samples 2'

/** The files of the checkpoint that one run writes. */
async function plain(method: string, options: Parameters<typeof smallJob>[0][0]['options']): Promise<ReadonlyMap<string, Uint8Array>> {
  const { host, sinks } = memoryHost(session)
  const label = session.catalog.solvers.find(({ id }) => id === method)!.label
  const calibration = { text: 'public/demo/calibration.txt', samples: 4, length: 32, sampling: 'consecutive', heldOut: 0.25 } as const
  const evaluation = { text: 'public/demo/evaluation.txt', samples: 2, length: 32 }
  await runJob(smallJob([{ id: 'run', label, method, options }], { save: true, calibration, evaluation }), host)
  return sinks.get('run')!.files
}

async function folder(path: string): Promise<Map<string, Uint8Array>> {
  const names = (await readdir(path)).filter((name) => !name.startsWith('.'))
  return new Map(await Promise.all(names.map(async (name) => [name, new Uint8Array(await readFile(join(path, name)))] as const)))
}

/** A report may hold the options in another order. */
const inOrder = (files: ReadonlyMap<string, Uint8Array>) =>
  new Map(
    [...files].map(([name, bytes]) => [
      name,
      name === 'quantization_report.json' ? new TextEncoder().encode(canonical(JSON.parse(new TextDecoder().decode(bytes)))) : bytes,
    ]),
  )

/** Names of files that differ. */
const differing = (...folders: ReadonlyMap<string, Uint8Array>[]) => {
  const [a, b] = folders.map(inOrder)
  return [...new Set([...a.keys(), ...b.keys()])].filter(
    (name) => Buffer.compare(a.get(name) ?? new Uint8Array(), b.get(name) ?? new Uint8Array()) !== 0,
  )
}

const quantease = '--quantization-method quantease --wbits 3 --groupsize 32 --num-iter 3'

test('from full-precision inputs: several workers, in any order, solve the checkpoint of one run', async () => {
  const store = at('full')
  // Damping that is chosen for a stage looks at all of its linears, whoever solves which.
  const chosen = `${quantease} --percdamp auto`
  await run('calibrate', `${text} --save-gram ${store}`)
  const files = await readdir(store)
  expect(files.filter((name) => name.endsWith('.safetensors'))).toHaveLength(8)
  const { meta } = await GramStore.open(store)
  expect(meta).toMatchObject({ inputs: { kind: 'full-precision' }, text: { tokens: 128 }, heldOut: { tokens: 32 }, blocks: 2 })
  // What the dry run says, but for the headers.
  const bytes = (await Promise.all(files.filter((name) => name.startsWith('block')).map((name) => readFile(join(store, name))))).reduce(
    (sum, { length }) => sum + length,
    0,
  )
  const foreseen = storeBytes(
    meta.stages.map(({ width }) => width),
    true,
  )
  expect(bytes).toBeGreaterThan(foreseen)
  expect(bytes).toBeLessThan(foreseen + 8 * 512)

  for (const part of ['*.mlp.*', 'model.layers.1.*', '*.k_proj,*.v_proj', '*'])
    await run('solve', `--gram ${store} ${chosen} --linears ${part}`)
  // Each linear is solved once.
  expect(lines.filter(({ type }) => type === 'layer')).toHaveLength(14)
  await run('assemble', `--gram ${store} ${chosen} --save ${at('assembled')} ${measured}`)
  const one = await plain('quantease', { bits: 3, groupSize: 32, iterations: 3, ridge: 'auto', fullInputs: true })
  expect(differing(await folder(at('assembled')), one)).toEqual([])
})

test.each([
  ['gptq', '--quantization-method gptq --wbits 4 --act-order', { bits: 4, actOrder: true, fullInputs: true }],
  ['awq', '--quantization-method awq --wbits 4 --groupsize 32', { bits: 4, groupSize: 32, fullInputs: true }],
])('%s: rows of W as slices, or whole blocks, come to the same codes', async (method, flags, options) => {
  const store = at('full')
  if (method === 'awq') {
    const { message } = await refusal(() => run('solve', `--gram ${store} ${flags} --linears *.mlp.*`))
    expect(message).toContain('rescales a whole block')
  } else for (const rows of ['0:64', '64:192']) await run('solve', `--gram ${store} ${flags} --linears *.gate_proj --rows ${rows}`)
  await run('solve', `--gram ${store} ${flags} --linears ${method === 'awq' ? '*' : '*.self_attn.*,*.up_proj,*.down_proj'}`)
  await run('assemble', `--gram ${store} ${flags} --save ${at(method)} ${measured}`)
  const one = await plain(method, options as never)
  // Errors of slices are added up, so the last digits of a figure may differ.
  const figures = method === 'awq' ? [] : ['quantization_report.json', 'README.md']
  expect(differing(await folder(at(method)), one).filter((name) => !figures.includes(name))).toEqual([])
  expect(one.size).toBeGreaterThan(4)
})

test('blocks that stay in full precision are not solved, and those that a store does not have are asked for', async () => {
  const rtn = '--quantization-method rtn --wbits 4'
  await run('solve', `--gram ${at('full')} ${rtn} --num-layers-to-quantize 1 --linears model.layers.1.*`)
  expect(lines.at(-1)).toMatchObject({ type: 'solved', linears: 0 })
  const index = JSON.parse(await readFile(join(at('full'), storeIndex), 'utf8'))
  await mkdir(at('few'))
  await writeFile(join(at('few'), storeIndex), JSON.stringify({ ...index, metadata: { ...index.metadata, blocks: 1 } }))
  const { message } = await refusal(() => run('solve', `--gram ${at('few')} ${rtn} --linears *`))
  expect(message).toContain('has the first 1 blocks, not all 2')
})

test('a store that is dropped into the page solves a linear as a worker does, and any setting can be tried; what is not its own is refused', async () => {
  const path = at('full')
  const files = new Map<string, Bytes>()
  for (const name of await readdir(path))
    if (name.endsWith('.json') || name.startsWith('block')) files.set(name, await diskFile(join(path, name)))
  const name = 'model.layers.0.mlp.gate_proj'
  await run('solve', `--gram ${path} --quantization-method rtn --wbits 3 --linears ${name}`)
  const { layer } = lines.find(({ type }) => type === 'layer') as unknown as { layer: LayerResult }
  const store = await OpenedStore.open(session, files, 'full')
  expect(store.summary).toMatchObject({ inputs: { kind: 'full-precision' }, blocks: 2, text: { tokens: 128 }, heldOut: { tokens: 32 } })
  const found = await tryLinear(session, name, await store.stageOf(name), { method: 'rtn', options: { bits: 3 } })
  expect([found.relativeError]).toBeClose([layer.relativeError], { relative: 1e-6 })
  expect([found.heldOutError!]).toBeClose([layer.heldOutError!], { relative: 1e-6 })
  // Its corrected target is the original one here: the inputs are those of the full-precision model.
  const better = await tryLinear(session, name, await store.stageOf(name), { method: 'quantease_plus', options: { bits: 3 } })
  expect(better.relativeError).toBeLessThan(found.relativeError)

  const other = new Session(testSource(), testTexts())
  await other.open(await tinyFiles(), 'other')
  await expect(OpenedStore.open(other, files, 'full')).rejects.toMatchObject({
    code: 'plan-invalid',
    message: expect.stringMatching(/The Gram store full belongs to tiny .*not to this model/),
  })
  const [first, second] = ['block-0-stage-1.safetensors', 'block-0-stage-2.safetensors']
  files.set(second, files.get(first)!)
  await expect(store.stageOf(name)).resolves.toMatchObject({ p: 64 }) // read before
  const damaged = await OpenedStore.open(session, files, 'full')
  await expect(damaged.stageOf(name)).rejects.toThrow('Stage 2 of block 0 of the Gram store is damaged: full/block-0-stage-2.safetensors')
  files.delete(second)
  await expect(damaged.stageOf(name)).rejects.toThrow('Stage 2 of block 0 is missing')
})

test('true-sequential: the linears of a stage are solved elsewhere, and the pass goes on with their codes', async () => {
  const store = at('sequential')
  const other = new Session(testSource(), testTexts())
  let solving = Promise.resolve()
  const asked: string[][] = []
  hear = ({ type, linears }) => {
    if (type !== 'wanted') return
    asked.push(linears as string[])
    // Two workers take turns.
    for (const name of linears as string[])
      solving = solving.then(() => run('solve', `--gram ${store} ${quantease} --linears ${name}`, other))
  }
  await run('calibrate', `${text} --save-gram ${store} ${quantease} --true-sequential --solve-elsewhere ${measured}`)
  await solving
  expect(asked.map(({ length }) => length)).toEqual([3, 1, 2, 1, 3, 1, 2, 1])
  await run('assemble', `--gram ${store} ${quantease} --save ${at('carried')} ${measured}`)
  const one = await plain('quantease', { bits: 3, groupSize: 32, iterations: 3, trueSequential: true })
  expect(differing(await folder(at('carried')), one)).toEqual([])
})

test('a stage that is missing or damaged is told, and made again; all else stays', async () => {
  const store = at('full')
  const stages = (await readdir(store)).filter((name) => name.startsWith('block')).sort()
  const before = await readFile(join(store, stages[2]))
  await cp(join(store, stages[1]), join(store, stages[2]))
  const rtn = '--quantization-method rtn --wbits 4'
  const damaged = await refusal(() => run('solve', `--gram ${store} ${rtn} --linears *.0.mlp.gate_proj`))
  expect([damaged.message, exitCodeOf(damaged)]).toEqual([
    expect.stringMatching(/Stage 2 of block 0 of the Gram store is damaged: .*block-0-stage-2/),
    65,
  ])
  await rm(join(store, stages[2]))
  const missing = await refusal(() => run('solve', `--gram ${store} ${rtn} --linears *.0.mlp.gate_proj`))
  expect([missing.message, exitCodeOf(missing)]).toEqual([expect.stringMatching(/Stage 2 of block 0 is missing/), 66])
  const untouched = await readFile(join(store, stages[1]))
  await run('calibrate', `${text} --save-gram ${store}`)
  expect(Buffer.compare(await readFile(join(store, stages[2])), before)).toBe(0)
  expect(Buffer.compare(await readFile(join(store, stages[1])), untouched)).toBe(0)
})

test.each([
  ['another model', 'solve', '--model OTHER --linears *', /belongs to tiny.*not to this model/, 65],
  [
    'another text',
    'calibrate',
    `${text.replace('--nsamples 4', '--nsamples 5')} --save-gram STORE`,
    /Gram store of something else: calibration, text, heldOut differ/,
    65,
  ],
  ['no such linear', 'solve', '--linears *.router', /No linear is called "\*\.router"; the first is model\.layers\.0\./, 64],
  ['rows that cut a word', 'solve', '--linears *.gate_proj --rows 0:65', /multiples of 64/, 64],
  ['rows beyond the last', 'solve', '--linears *.gate_proj --rows 64:256', /has 192 rows/, 64],
  ['what is not solved', 'assemble', '--wbits 8 --save OUT', /14 linears are not solved with these options: model\.layers\.0\./, 66],
  ['no store', 'solve', '--gram nowhere --linears *', /no Gram store in nowhere/, 66],
] as const)('%s is refused', async (_, word, words, message, code) => {
  const places = words.replace('OTHER', at('other')).replace('STORE', at('full')).replace('OUT', at('out'))
  const store = word === 'calibrate' || words.includes('--gram') ? '' : `--gram ${at('full')} `
  const method = word === 'calibrate' ? '' : ' --quantization-method rtn'
  const error = await refusal(() => run(word, `${store}${places}${method}`))
  expect([error.message, exitCodeOf(error)]).toEqual([expect.stringMatching(message), code])
})
