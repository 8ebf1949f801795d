/** Dry runs of the models whose config.json is in this folder, written from published values. */
import { readdir } from 'node:fs/promises'
import { dryDevices } from '../../src/engine/devices.ts'
import { dryRun } from '../../src/engine/plan/dry.ts'
import type { DryRun } from '../../src/engine/job/forecast.ts'
import { diskFile } from '../../src/engine/hosts/node.ts'
import { Session } from '../../src/engine/session.ts'
import { openConfig } from '../../src/io/folder.ts'
import { blankModel } from '../../src/models/blank.ts'
import { markdown } from '../tables.ts'

const folder = 'e2e/dry-runs'
const device = dryDevices.find(({ id }) => id === 'rtx-4090')!
/** As the papers calibrate and evaluate. */
const tokens = { calibration: { samples: 128, length: 2048 }, evaluation: { samples: 0, length: 2048 } }

/** All models in this folder, or the named ones. */
export async function dryRuns(only: string[] = []): Promise<DryRun[]> {
  const names = (await readdir(folder)).flatMap((file) => (file.endsWith('.json') ? file.slice(0, -5) : []))
  const runs: DryRun[] = []
  for (const name of names.filter((one) => !only.length || only.includes(one))) {
    const config = await openConfig(new Map([['config.json', await diskFile(`${folder}/${name}.json`)]]))
    if (!config) throw new Error(`${name}.json is no config.json.`)
    runs.push(await dryRun(blankModel({ ...config, name }), { ...tokens, options: {}, device }, new Session(undefined)))
  }
  return runs.sort((a, b) => a.model.parameters - b.model.parameters)
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toPrecision(3)} GiB`
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
    ...methods.map(({ label }) => label),
  ]
  const rows = runs.map(({ model, tensors, largest, baseline, methods }) => [
    model.name,
    `${tensors.count}, ${gibibytes(tensors.bytes)}`,
    `${gibibytes(largest.weight.bytes)}, ${gibibytes(largest.gram.bytes)}`,
    `${petaflops(baseline.flops)}, ${time(baseline.seconds)}`,
    gibibytes(Math.max(...methods.map(({ forecast }) => forecast?.readBytes ?? 0))),
    gibibytes(Math.max(...methods.map(({ forecast }) => forecast?.hostBytes ?? 0))),
    ...methods.map(({ forecast, problem }) =>
      forecast
        ? `${petaflops(forecast.flops.forward + forecast.flops.solve)}, ${time(forecast.seconds)}, ${gibibytes(forecast.gpuBytes)}${forecast.gpuBytes > device.memoryBudget ? ' (too much)' : ''}`
        : `no: ${problem?.message}`,
    ),
  ])
  return [
    `${calibration.windows} × ${calibration.length} calibration and ${evaluation.windows} × ${evaluation.length} evaluation tokens, 3 bits, default options; ${device.label}, ${gibibytes(device.memoryBudget)} usable, ${Math.round(device.gflops!)} GFLOP/s. ${device.from}`,
    '',
    markdown(head, rows),
  ].join('\n')
}
