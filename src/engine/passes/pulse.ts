/** How far a job is, and where it can be paused. */
import type { Device } from '../../gpu/device.ts'
import type { Host } from '../host.ts'
import { type MemoryPoint, sampleMemory } from '../job/device.ts'
import type { RunWork } from '../plan/work.ts'
import { Progress, tellsTime, type Work } from './progress.ts'

/** Kind of work beside the solvers' own. */
export const FORWARD = 'forward'
/** Between two progress events. */
const EVENT_SECONDS = 0.25

/** The heartbeat of a job: called between submits, lets pause and cancel in and says how far things are. */
export class Pulse {
  readonly progress: Progress
  /** Held on the GPU over time. */
  memory: MemoryPoint[] = []
  #gpu: Device | null = null
  /** Bytes held on it at most since the last look. */
  #most: () => number = () => 0
  /** Operations on devices before this one. */
  #before = 0
  #last = 0
  #run: string | null = null
  #runStart = 0
  #runPlanned = 0

  constructor(
    readonly host: Host,
    planned: Work,
    /** Operations before the first run, and ids of the runs that are not over. */
    readonly ahead: { baseline: number; runs: string[] } = { baseline: 0, runs: [] },
  ) {
    this.progress = new Progress(
      planned,
      () => this.#before + (this.#gpu?.flops ?? 0),
      () => host.control.clock,
    )
  }

  /** Beats on this device from now on. */
  attach(gpu: Device): void {
    this.#before += (this.#gpu?.flops ?? 0) - gpu.flops
    this.#gpu = gpu
    this.#most = gpu.memory.watch()
    gpu.gate = () => this.beat()
  }

  enter(run: string, work: RunWork): void {
    this.#run = run
    this.#runStart = this.progress.work
    this.#runPlanned = work.forward + work.solve
    this.host.session.pace.begin()
  }

  /** A run is over. */
  leave(run: string): void {
    this.ahead.runs = this.ahead.runs.filter((other) => other !== run)
  }

  async beat(): Promise<void> {
    const { control, emit } = this.host
    if (control.paused && !control.stopped) {
      emit({ type: 'paused', storage: null })
      await control.check().finally(() => emit({ type: 'resumed' }))
    }
    await control.check()
    const now = performance.now() / 1000
    if (now - this.#last < EVENT_SECONDS) return
    this.#last = now
    this.tell()
  }

  tell(): void {
    const runDone = this.#runPlanned ? Math.max(0, Math.min(1, (this.progress.work - this.#runStart) / this.#runPlanned)) : 0
    const read = this.progress.read()
    this.host.emit({ type: 'progress', ...read, eta: this.#timeLeft(runDone, read.elapsed) ?? read.eta, run: this.#run, runDone })
    this.tellMemory()
  }

  /** Seconds left by what the runs are foreseen to take at the pace so far; null where one was not foreseen. */
  #timeLeft(runDone: number, elapsed: number): number | null {
    const { baseline, runs } = this.ahead
    const before = this.#run === null && baseline ? Math.min(1, this.progress.work / baseline) : 1
    if (!runs.length || elapsed < 0.5 || !tellsTime(before, elapsed)) return null
    const times = runs.map((run) => {
      const seconds = this.host.session.pace.expected(run)
      return seconds === null ? Number.NaN : seconds * (run === this.#run ? 1 - runDone : 1)
    })
    const left = times.reduce((sum, seconds) => sum + seconds, (elapsed * (1 - before)) / before)
    return Number.isNaN(left) ? null : left
  }

  tellMemory(): void {
    if (!this.#gpu) return
    const { memory } = this.#gpu
    const { held } = memory
    const most = this.#most()
    this.memory = sampleMemory(this.memory, { seconds: this.progress.read().elapsed, held: most })
    this.host.emit({ type: 'memory', held, most, holdings: memory.holdings() })
  }
}
