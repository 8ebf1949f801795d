/** Linears with grids of their own, from the plan over an interruption to the files, and what is refused. */
import { beforeAll, expect, test } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { openFolder } from '../../io/folder.ts'
import { memoryFiles } from '../../io/memory.ts'
import { openModel } from '../../models/open.ts'
import type { Override } from '../../overrides.ts'
import type { Job } from '../job/job.ts'
import { checkJob } from '../plan/dry.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'
import { runJob } from './run.ts'

let session: Session
beforeAll(async () => {
  session = new Session(testSource(), await testTexts())
  // GGUF files need to know which token ends a text.
  await session.open(
    await tinyFiles(undefined, { ...tinyConfig, ...{ intermediate_size: 64, num_key_value_heads: 4, eos_token_id: 0 } }),
    'tiny',
  )
})

const overrides: Override[] = [
  { pattern: 'layers.0.self_attn' },
  { pattern: '{q,k,v}_proj', options: { bits: 8, symmetric: true } },
  { pattern: 'down_proj', options: { bits: 4, groupSize: 32 } },
]
const jobOf = (given: Override[], method = 'quantease', changes: Partial<Job> = {}): Job =>
  smallJob([{ id: 'one', label: 'One', method, options: { bits: 3, iterations: 2 }, overrides: given }], {
    calibration: { text: 'demo-calibration', samples: 2, length: 64, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: 2, length: 64 },
    ...changes,
  })

test('linears are solved, counted and stored on grids of their own', async () => {
  const formats = ['gptq', 'compressed-tensors', 'mlx', 'gguf', 'dense', 'sidecar']
  const job = jobOf(overrides, 'quantease', { save: true, formats })
  const check = await checkJob(job, session)
  expect(check.problems.filter(({ severity }) => severity === 'error')).toEqual([])
  const { host, sinks, events } = memoryHost(session)
  const [run] = (await runJob(job, host)).runs
  expect(run.error ?? run.exportError).toBeUndefined()
  // Four linears of block 0 stay whole: neither solved nor announced.
  expect(run.layers.map(({ name }) => name.replace('model.layers.', ''))).toEqual(
    ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj']
      .map((name) => `0.${name}`)
      .concat(
        ['q', 'k', 'v', 'o'].map((one) => `1.self_attn.${one}_proj`),
        ['mlp.gate_proj', 'mlp.up_proj', 'mlp.down_proj'].map((name) => `1.${name}`),
      ),
  )
  expect(events.find((event) => event.type === 'job-start')).toMatchObject({ layers: run.layers.map(({ name }) => name) })
  expect(run.kept?.map(({ name }) => name)).toEqual(['q', 'k', 'v', 'o'].map((one) => `model.layers.0.self_attn.${one}_proj`))
  // By hand: [out, in] of a tiny block, hidden 32, 64 inside; weights of 32 bits where they stay.
  const size = { q: 32 * 32, k: 32 * 32, v: 32 * 32, o: 32 * 32, gate: 64 * 32, up: 64 * 32, down: 32 * 64 }
  const row = (q: number, p: number, bits: number) => q * (p * bits + 16 + bits)
  const kept = 32 * (size.q + size.k + size.v + size.o)
  const block = row(64, 32, 3) * 2 + 32 * (64 * 4 + 2 * (16 + 4))
  const attention = (32 + 32 + 32) * (32 * 8 + 16) + row(32, 32, 3)
  const weights = 2 * Object.values(size).reduce((sum, one) => sum + one, 0)
  expect(run.bitsPerWeight).toBeCloseTo((kept + 2 * block + attention) / weights, 10)
  expect(check.runs[0].bitsPerWeight).toBeCloseTo(run.bitsPerWeight, 10)
  expect(check.runs[0].own).toHaveLength(4 + 3 + 2)
  // The run reads back and compares all files; the plain ones hold what the packed ones do.
  const files = [...sinks.get('one')!.files]
  const opened = async (format: string) => {
    const own = files
      .filter(([name]) => name.startsWith(`${format}/`))
      .map(([name, bytes]) => [name.slice(format.length + 1), bytes] as const)
    return openModel(await openFolder(memoryFiles(own)))
  }
  for (const format of ['gptq', 'compressed-tensors']) {
    const { folder } = await opened(format)
    for (const { name, bits, shape } of run.layers.map((layer) => ({ ...layer, bits: layer.own?.bits ?? 3 }))) {
      const [q, p] = shape
      const solved = await folder.packing!.read(folder.checkpoint, name, { q, p })
      expect([format, name, solved.bits]).toEqual([format, name, bits])
    }
    expect(folder.checkpoint.tensors.get('model.layers.0.self_attn.q_proj.weight')?.shape).toEqual([32, 32])
  }
  const report = JSON.parse(new TextDecoder().decode(files.find(([name]) => name === 'gptq/quantization_report.json')![1]))
  expect(report.job.runs[0].overrides).toEqual(overrides)
})

test('an interrupted run with overrides ends as one that was not', async () => {
  const job = jobOf(overrides)
  const whole = (await runJob(job, memoryHost(session).host)).runs[0]
  const { host, journal } = memoryHost(session, (event, control) => {
    if (event.type === 'layer' && event.layer.name.includes('layers.1.self_attn.q')) control.cancel()
  })
  await runJob(job, host)
  const again = memoryHost(session)
  const resumed = (await runJob(job, { ...again.host, journal }, { resume: true })).runs[0]
  const figures = ({ layers, kl, bitsPerWeight, kept }: typeof whole) => ({
    ...{ kl, bitsPerWeight, kept },
    errors: layers.map(({ name, relativeError, own }) => [name, relativeError, own]),
  })
  expect(figures(resumed)).toEqual(figures(whole))
  const other = jobOf(overrides.slice(1))
  await expect(runJob(other, { ...memoryHost(session).host, journal }, { resume: true })).rejects.toMatchObject({
    code: 'journal-mismatch',
  })
})

test.each<[string, Override[], string, RegExp]>([
  ['a pattern without linears', [{ pattern: 'gate' }], 'rtn', /“gate:keep” matches no linear that is quantized/],
  [
    'a shadowed one',
    [{ pattern: 'mlp' }, { pattern: 'up_proj' }],
    'rtn',
    /An earlier override has every linear that “up_proj:keep” matches/,
  ],
  ['nothing left', [{ pattern: '*' }], 'rtn', /nothing is left to quantize/],
  ['another option', [{ pattern: 'mlp', options: { iterations: 3 } }], 'quantease', /no option iterations for single linears/],
  ['another width', [{ pattern: 'mlp', options: { bits: 5 } }], 'rtn', /Bits can be 2, 3, 4 or 8, not 5/],
  ['AWQ in full precision', [{ pattern: 'up_proj' }], 'awq', /AWQ scales the inputs .* keeps none in full precision/],
  [
    'AWQ with parts of a stage',
    [{ pattern: 'up_proj', options: { bits: 4 } }],
    'awq',
    /AWQ scales mlp\.gate_proj, mlp\.up_proj of a block together/,
  ],
])('refuses %s', async (_, given, method, message) => {
  const { problems } = await checkJob({ ...jobOf(given, method), runs: [{ ...jobOf(given, method).runs[0], options: {} }] }, session)
  expect(problems.filter(({ severity }) => severity === 'error')).toMatchObject([{ message: expect.stringMatching(message) }])
})

test('formats that declare one grid refuse others by name, and fused linears are warned of', async () => {
  const refused = async (format: string) => (await checkJob({ ...jobOf(overrides), save: true, formats: [format] }, session)).problems
  for (const [format, label] of [
    ['awq', 'AWQ layout'],
    ['onnx', 'ONNX'],
  ])
    expect(await refused(format)).toContainEqual(expect.objectContaining({ severity: 'error', message: expect.stringContaining(label) }))
  const apart = { ...jobOf([{ pattern: 'k_proj', options: { bits: 4 } }]), save: true, formats: ['compressed-tensors'] }
  const { problems, runs } = await checkJob(apart, session)
  expect(problems).toContainEqual(expect.objectContaining({ severity: 'warning', field: 'runs.0.overrides' }))
  const { loadsIn } = runs[0].formats.find(({ id }) => id === 'compressed-tensors')!
  expect(loadsIn.find(({ runtime }) => runtime === 'vLLM')).toMatchObject({
    loads: false,
    note: expect.stringContaining('q_proj, k_proj, v_proj'),
  })
})
