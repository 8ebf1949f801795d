/**
 * `npm run scale:paper`: what solving two big models on many GPUs would take, from the dry run's figures alone, into src/scale/README.md.
 * QuantEase, 3 bits, 128 windows of 2048 tokens; a GPU of 24 GB as `--device rtx-4090` has it.
 */
import { dryDevices } from '../src/engine/devices.ts'
import type { DryRunSpec, Forecast } from '../src/engine/job/forecast.ts'
import { diskFile } from '../src/engine/hosts/node.ts'
import { dryRun } from '../src/engine/plan/dry.ts'
import { planRun, type PlannedRun } from '../src/engine/plan/plan.ts'
import { runWork } from '../src/engine/plan/work.ts'
import { Session } from '../src/engine/session.ts'
import { openConfig } from '../src/io/folder.ts'
import { blankModel } from '../src/models/blank.ts'
import { linearsOf } from '../src/models/family.ts'
import type { OpenModel } from '../src/models/open.ts'
import { solveWork } from '../src/quant/slices.ts'
import { storeBytes } from '../src/io/gram-store.ts'
import { keepTable, markdown } from './tables.ts'

const device = dryDevices.find(({ id }) => id === 'rtx-4090')!
const rate = device.gflops! * 1e9
/** Bytes per second from a disk or a network, as the dry run assumes. */
const READ = 1e9
const calibration = { windows: 128, length: 2048 }
/** Rows of a slice are multiples of this. */
const UNIT = 64

const gib = (bytes: number) => `${(bytes / 2 ** 30).toPrecision(3)} GiB`
const tib = (bytes: number) => (bytes < 2 ** 40 ? gib(bytes) : `${(bytes / 2 ** 40).toPrecision(3)} TiB`)
const peta = (flops: number) => `${(flops / 1e15).toPrecision(3)} PFLOP`
const time = (seconds: number) => (seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`)

interface Task {
  seconds: number
  bytes: number
}

/** When the last of `workers` is done, if each takes the longest task that is left. */
function makespan(tasks: Task[], workers: number): number {
  const busy = new Array<number>(workers).fill(0)
  for (const { seconds } of [...tasks].sort((a, b) => b.seconds - a.seconds)) {
    busy[busy.indexOf(Math.min(...busy))] += seconds
  }
  return Math.max(...busy)
}

class Paper {
  readonly run: PlannedRun
  readonly storeBytes: number
  /** Of one block, in 16 bits. */
  readonly blockBytes: number

  constructor(
    readonly opened: OpenModel,
    readonly inputs: 'fullInputs' | 'trueSequential',
  ) {
    const options = { bits: 3, groupSize: 128, [inputs]: true }
    const refuse = (_: string, message: string) => {
      throw new Error(message)
    }
    this.run = planRun({ id: 'run', label: 'QuantEase', method: 'quantease', options }, opened, device.maxBinding, false, [], refuse)!
    const { layouts } = opened.model
    this.storeBytes = storeBytes(
      layouts.flatMap(({ stages }) => stages.map(([{ p }]) => p)),
      false,
    )
    this.blockBytes = linearsOf(layouts[0]).reduce((sum, { q, p }) => sum + 2 * q * p, 0)
  }

  get calibrating(): number {
    return runWork(this.run, this.opened, calibration, { windows: 0, length: 2048 }, 0).forward
  }

  get solving(): number {
    return runWork(this.run, this.opened, calibration, { windows: 0, length: 2048 }, 0).solve
  }

  /** Tasks of the linears of a stage, each in so many slices of rows. */
  tasks(stage: { q: number; p: number }[], slices: number): Task[] {
    return stage.flatMap(({ q, p }) => {
      const most = Math.max(1, Math.min(slices, Math.floor(q / UNIT)))
      const rows = Math.ceil(q / most / UNIT) * UNIT
      const bytes = this.blockBytes + storeBytes([p], false)
      const work = (n: number) => solveWork(this.run.solver, n, p, this.run.options, device.maxBinding)
      return Array.from({ length: Math.ceil(q / rows) }, (_, i) => ({
        bytes,
        seconds: work(Math.min(rows, q - i * rows)) / rate + bytes / READ,
      }))
    })
  }

  /** Seconds and bytes that workers read, for the best number of slices. */
  solve(workers: number): { seconds: number; bytes: number; slices: number } {
    const { layouts } = this.opened.model
    const tried = [1, 2, 4, 8, 16, 32, 64].map((slices) => {
      const groups =
        this.inputs === 'fullInputs'
          ? [layouts.flatMap(({ stages }) => stages.flatMap((stage) => this.tasks(stage, slices)))]
          : layouts.flatMap(({ stages }) => stages.map((stage) => this.tasks(stage, slices)))
      const seconds = groups.reduce((sum, tasks) => sum + makespan(tasks, workers), 0)
      return { slices, seconds, bytes: groups.flat().reduce((sum, { bytes }) => sum + bytes, 0) }
    })
    return tried.reduce((best, one) => (one.seconds < 0.98 * best.seconds ? one : best))
  }
}

/** On the device, or, where one matrix is larger than its buffers, on one without that limit; the refusal is printed. */
async function foresee(opened: OpenModel, spec: DryRunSpec): Promise<Forecast> {
  for (const maxBuffer of [device.maxBuffer, 2 ** 36]) {
    const [{ forecast, problem }] = (await dryRun(opened, { ...spec, device: { ...device, maxBuffer } }, new Session(undefined))).methods
    if (forecast) return forecast
    refusals.add(`${opened.folder.name}: ${problem?.message}`)
  }
  throw new Error([...refusals].at(-1))
}

const refusals = new Set<string>()
const rows: string[][] = []
for (const name of ['Llama-2-70b', 'falcon-180b']) {
  const config = await openConfig(new Map([['config.json', await diskFile(`e2e/scale/${name}.json`)]]))
  const opened = blankModel({ ...config!, name })
  for (const inputs of ['fullInputs', 'trueSequential'] as const) {
    const paper = new Paper(opened, inputs)
    const runs = [paper.run.spec]
    const spec = { options: {}, calibration: { samples: 128, length: 2048 }, evaluation: { samples: 1, length: 2048 }, device, runs }
    const forecast = await foresee(opened, spec)
    const peak = (...stages: string[]) =>
      Math.max(...forecast.stages.filter(({ stage }) => stages.includes(stage)).map(({ gpuBytes }) => gpuBytes))
    const modelBytes = paper.blockBytes * opened.model.shape.blocks
    const pass = paper.calibrating / rate + modelBytes / READ + paper.storeBytes / READ
    for (const workers of [1, 8, 64]) {
      const { seconds, bytes, slices } = paper.solve(workers)
      rows.push([
        name,
        inputs === 'fullInputs' ? 'full-precision' : 'true-sequential',
        String(workers),
        `${peta(paper.calibrating)} + ${peta(paper.solving)}`,
        `${tib(paper.storeBytes)} + ${tib(modelBytes)}`,
        tib(bytes),
        `${gib(peak('calibrate', 'propagate', 'load'))}, ${gib(peak('solve'))}`,
        String(slices),
        `${time(pass)} + ${time(seconds)} = ${time(pass + seconds)}`,
      ])
    }
  }
}
const head = [
  'model',
  'inputs',
  'GPUs',
  'work: calibrating + solving',
  'written: Σ; read once: weights',
  'read by solvers',
  'GPU memory: calibrating, solving',
  'slices',
  'critical path: pass + solving',
]
const made = [markdown(head, rows), ...[...refusals].map((refusal) => `\nOn such a device as it is: ${refusal}`)].join('\n')
await keepTable('src/scale/README.md', 'big models', made)
process.stdout.write(`${made}\n`)
