/** `--dry-run`: forecasts of time and memory of every algorithm on a device, from a config.json alone. */
import { basename, dirname, join, resolve } from 'node:path'
import { dryDevices } from '../engine/devices.ts'
import { diskFile } from '../engine/hosts/node.ts'
import type { DryDevice } from '../engine/job/catalog.ts'
import type { DryProgress, DryRun } from '../engine/job/forecast.ts'
import type { Job } from '../engine/job/job.ts'
import { dryRun } from '../engine/plan/dry.ts'
import type { Session } from '../engine/session.ts'
import { fromErrorData, inWords, WorkbenchError } from '../errors.ts'
import { type Given, UsageError } from './arguments.ts'
import type { Asked } from './asked.ts'
import { demo, isRemote } from './inputs.ts'

/** The device that the flags describe; null for the present one. */
function device(given: Given): DryDevice | null {
  const [memory, binding, gflops] = ['device-memory', 'device-binding', 'device-gflops'].map((flag) => given.measure(flag))
  const hostMemory = given.measure('host-memory')
  const name = given.text('device')
  const base = dryDevices.find(({ id }) => id === (name ?? 'webgpu'))
  if (!base) throw new UsageError(`--device can be ${dryDevices.map(({ id }) => id).join(', ')}, not "${name}".`)
  const described = [memory, binding, gflops].some((one) => one !== null)
  // What the present device's host may hold is the session's.
  if (!described && name === undefined) return null
  const onHost = hostMemory === null ? base.hostMemory : hostMemory * 2 ** 30
  if (!described) return { ...base, hostMemory: onHost }
  const maxBinding = binding === null ? base.maxBinding : binding * 2 ** 20
  return {
    ...base,
    label: name === undefined ? 'the given device' : `${base.label}, changed`,
    maxBinding,
    maxBuffer: Math.max(base.maxBuffer, maxBinding),
    memoryBudget: memory === null ? base.memoryBudget : memory * 2 ** 30,
    gflops: gflops ?? base.gflops,
    hostMemory: onHost,
    from: `As given; otherwise: ${base.from}`,
  }
}

/** Of every algorithm, or of the runs of a job file. */
export async function foresee(
  session: Session,
  given: Given,
  asked: Asked,
  job: Job | null,
  hear?: (progress: DryProgress) => void,
): Promise<DryRun> {
  const { model: path, options, overrides, samples, heldOut, seqlen, evalSamples, evalSeqlen, products, formats } = asked
  const on = device(given)
  if (job && isRemote(path)) throw new UsageError('--dry-run reads a config.json on this machine: give it, or its folder, by --model.')
  if (path === 'demo') await session.open(new Map([['config.json', await demo('config.json')]]), 'Demo model')
  else {
    const alone = path.endsWith('.json')
    const file = alone ? path : join(path, 'config.json')
    const bytes = await diskFile(file).catch((cause) => {
      throw new WorkbenchError('file-missing', `${file} cannot be read.`, 'Give a config.json, or a folder with one, by --model.', {
        cause,
      })
    })
    const name = alone && basename(path) !== 'config.json' ? basename(path, '.json') : basename(dirname(resolve(file)))
    await session.open(new Map([['config.json', bytes]]), name)
  }
  const length = seqlen ?? Math.min(2048, session.model.model.shape.maxPositions ?? 2048)
  const { calibration, evaluation, runs } = job ?? {
    calibration: { samples, length, heldOut },
    evaluation: { samples: evalSamples, length: evalSeqlen ?? length, products },
  }
  const spec = { options, overrides, calibration, evaluation, runs, formats, device: on }
  return dryRun(session.model, spec, session, hear)
}

/**
 * What the job itself would be refused for: of the runs of a job file any, of the survey what stands against every method.
 * @throws {WorkbenchError}
 */
export function refuse({ methods }: DryRun, job: Job | null): void {
  const wrong = methods.flatMap(({ problem }) => problem ?? [])
  if (wrong.length && (job || wrong.length === methods.length)) throw fromErrorData(wrong[0])
}

export function dryText({ model, device, tensors, largest, calibration, evaluation, baseline, methods }: DryRun): string {
  const size = (bytes: number) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toPrecision(3)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`)
  const time = (seconds: number | null) =>
    seconds === null ? '–' : seconds < 120 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(0)} min`
  const work = (flops: number) => (flops < 1e15 ? `${(flops / 1e12).toPrecision(3)} TFLOP` : `${(flops / 1e15).toPrecision(3)} PFLOP`)
  const lines = [
    `${model.name}: ${model.family}, ${(model.parameters / 1e6).toPrecision(4)} million parameters, ${model.blocks} blocks; ${tensors.count} tensors in ${model.dtype}, ${size(tensors.bytes)}.`,
    `Largest matrices in f32: weights ${largest.weight.name}, ${size(largest.weight.bytes)}; Gram matrix of ${largest.gram.name}, ${size(largest.gram.bytes)}.`,
    `On ${device.label}: bindings up to ${size(device.maxBinding)}, ${size(device.memoryBudget)} of memory, ${device.gflops === null ? 'rate unknown' : `${Math.round(device.gflops)} GFLOP/s`}; ${size(device.hostMemory)} of the host’s memory for what waits. ${device.from}`,
    `Calibration ${calibration.windows} × ${calibration.length} tokens, evaluation ${evaluation.windows} × ${evaluation.length}. No weights were read: a check only.`,
    `Unquantized model: ${work(baseline.flops)}, ${size(baseline.readBytes)} read, ${time(baseline.seconds)}.`,
  ]
  for (const { label, forecast, fits, problem, bitsPerWeight, without } of methods) {
    const lacking = without.length ? ` (it has no ${inWords(without, 'or')}: not as asked for)` : ''
    if (!forecast) {
      lines.push(`${label}${lacking}: not possible. ${problem?.message} ${problem?.hint}`)
      continue
    }
    const { flops, readBytes, movedBytes, seconds, gpuBytes, hostBytes, fileBytes, stages, least } = forecast
    const enough = least ? `: ${least.linear ?? 'it'} takes at least ${size(least.bytes)}` : ''
    const file = fileBytes ? ` and ${size(fileBytes)} in a file` : ''
    const wanting = fits ? '' : ` (more than available${enough})`
    lines.push(
      `${label}${lacking}: ${work(flops.forward)} forward and ${work(flops.solve)} solving, ${size(readBytes)} read, ${size(movedBytes)} between host and GPU, ${time(seconds)}; ${bitsPerWeight?.toFixed(2)} bits per weight; GPU ${size(gpuBytes)}${wanting}, host ${size(hostBytes)}${file}`,
      `  ${stages.map((one) => `${one.stage} ${size(one.gpuBytes)}`).join(', ')}`,
    )
  }
  return `${lines.join('\n')}\n`
}
