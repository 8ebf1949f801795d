/** Dry runs of the models whose config.json is in this folder, written from published values. */
import { readdir } from 'node:fs/promises'
import { dryDevices } from '../../src/engine/devices.ts'
import { dryRun } from '../../src/engine/plan/dry.ts'
import type { DryDevice } from '../../src/engine/job/catalog.ts'
import type { DryRun } from '../../src/engine/job/forecast.ts'
import { heldOutShare } from '../../src/engine/job/job.ts'
import { diskFile } from '../../src/engine/hosts/node.ts'
import { Session } from '../../src/engine/session.ts'
import { openConfig } from '../../src/io/folder.ts'
import { blankModel } from '../../src/models/blank.ts'
import { markdown } from '../tables.ts'

const folder = 'e2e/dry-runs'
const device = dryDevices.find(({ id }) => id === 'rtx-4090')!
/** As the papers calibrate and evaluate. */
const tokens = { calibration: { samples: 128, length: 2048 }, evaluation: { samples: 0, length: 2048 } }

/** Memory of cards that models of these sizes are to do with, GB. */
const cards: [model: string, gigabytes: number][] = [
  ['Llama-2-7b', 8],
  ['falcon-7b', 8],
  ['bloom-7b1', 8],
  ['Mistral-7B', 8],
  ['opt-13b', 12],
  ['falcon-40b', 24],
]

async function runOf(name: string, on: DryDevice, heldOut = 0): Promise<DryRun> {
  const config = await openConfig(new Map([['config.json', await diskFile(`${folder}/${name}.json`)]]))
  if (!config) throw new Error(`${name}.json is no config.json.`)
  const calibration = { ...tokens.calibration, heldOut }
  return dryRun(blankModel({ ...config, name }), { ...tokens, calibration, options: {}, device: on }, new Session(undefined))
}

/** All models in this folder, or the named ones. */
export async function dryRuns(only: string[] = []): Promise<DryRun[]> {
  const names = (await readdir(folder)).flatMap((file) => (file.endsWith('.json') ? file.slice(0, -5) : []))
  const unknown = only.filter((one) => !names.includes(one))
  if (unknown.length) throw new Error(`There is no ${unknown.join(', ')} in ${folder}; there are ${names.join(', ')}.`)
  const runs: DryRun[] = []
  for (const name of names.filter((one) => !only.length || only.includes(one))) runs.push(await runOf(name, device))
  return runs.sort((a, b) => a.model.parameters - b.model.parameters)
}

/** What small cards take, beside the largest at the same rate, with held-out windows as runs have them by default; all, or of named models. */
export async function onCards(only: string[] = []): Promise<string> {
  const runs: { small: DryRun; large: DryRun }[] = []
  for (const [name, gigabytes] of cards.filter(([one]) => !only.length || only.includes(one))) {
    const on = (size: number) => runOf(name, { ...device, memoryBudget: size * 0.75 * 2 ** 30 }, heldOutShare)
    const small = await on(gigabytes)
    runs.push({ small, large: gigabytes === 24 ? small : await on(24) })
  }
  if (!runs.length) return ''
  const rows = runs.map(({ small, large }) => [
    small.model.name,
    `${gibibytes(small.device.memoryBudget)} of ${small.device.memoryBudget / 0.75 / 2 ** 30} GB`,
    ...onHost(small),
    ...small.methods.map(({ forecast }, i) => {
      const { gpuBytes, seconds } = forecast!
      const slower = seconds! / large.methods[i].forecast!.seconds!
      return `${gibibytes(gpuBytes)}${gpuBytes > small.device.memoryBudget ? ' (too much)' : ''}, ${time(seconds)}, ${slower.toFixed(2)} ×`
    }),
  ])
  return markdown(['model', 'usable', 'host', 'file', ...runs[0].small.methods.map(({ label }) => label)], rows)
}

/** The most that any algorithm takes of host memory, and of the file for what is beyond. */
const onHost = ({ methods }: DryRun) =>
  (['hostBytes', 'fileBytes'] as const).map((what) => gibibytes(Math.max(...methods.map(({ forecast }) => forecast?.[what] ?? 0))))

const gibibytes = (bytes: number) => (bytes ? `${(bytes / 2 ** 30).toPrecision(3)} GiB` : '–')
const petaflops = (flops: number) => `${(flops / 1e15).toPrecision(3)} PFLOP`
const time = (seconds: number | null) => {
  if (seconds === null) return '–'
  return seconds < 100
    ? `${Math.round(seconds)} s`
    : seconds < 6000
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`
}

/** One row per model; for each algorithm its work, time and peak GPU memory. */
export function table(runs: DryRun[]): string {
  const [{ methods, calibration, evaluation }] = runs
  const head = [
    'model',
    'tensors',
    'largest weights, Gram matrix',
    'baseline',
    'read per run',
    'host',
    'file',
    ...methods.map(({ label }) => label),
  ]
  const rows = runs.map((run) => {
    const { model, tensors, largest, baseline, methods } = run
    return [
      model.name,
      `${tensors.count}, ${gibibytes(tensors.bytes)}`,
      `${gibibytes(largest.weight.bytes)}, ${gibibytes(largest.gram.bytes)}`,
      `${petaflops(baseline.flops)}, ${time(baseline.seconds)}`,
      gibibytes(Math.max(...methods.map(({ forecast }) => forecast?.readBytes ?? 0))),
      ...onHost(run),
      ...methods.map(({ forecast, problem }) =>
        forecast
          ? `${petaflops(forecast.flops.forward + forecast.flops.solve)}, ${time(forecast.seconds)}, ${gibibytes(forecast.gpuBytes)}${forecast.gpuBytes > device.memoryBudget ? ' (too much)' : ''}`
          : `no: ${problem?.message}`,
      ),
    ]
  })
  return [
    `${calibration.windows} × ${calibration.length} calibration and ${evaluation.windows} × ${evaluation.length} evaluation tokens, 3 bits, default options, no held-out windows; ${device.label}, ${gibibytes(device.memoryBudget)} usable, ${Math.round(device.gflops!)} GFLOP/s. ${device.from}`,
    '',
    markdown(head, rows),
  ].join('\n')
}
