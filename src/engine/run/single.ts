/** One run of a job: its linears and figures as they come, and its checkpoints at the end. */
import { toErrorData } from '../../errors.ts'
import type { Score } from '../../eval/perplexity.ts'
import type { Host, Judgement } from '../host.ts'
import { type EndResult, type LayerResult, type RunResult, bitsPerWeight, countedIn } from '../job/result.ts'
import type { CheckpointExport } from '../keep/export.ts'
import type { Journal } from '../keep/journal.ts'
import { type PlannedRun, keptLinears, weightBytes } from '../plan/plan.ts'
import { oversized } from '../plan/remarks.ts'
import type { PlannedWork, RunWork } from '../plan/work.ts'
import { type Pulse, FORWARD } from '../passes/pulse.ts'

/** A single window has no standard error, and JSON no NaN. */
export const finiteOrNull = (value: number) => (Number.isFinite(value) ? value : null)

/** One run, across the devices that it may take: what is solved and told, and the checkpoint that it goes into. */
export class Run {
  readonly layers: LayerResult[] = []
  readonly #ends: EndResult[] = []
  readonly #started: number
  readonly #told = new Set<string>()
  readonly #perplexities: RunResult['perplexities'] = []

  constructor(
    readonly plan: PlannedRun,
    readonly work: RunWork,
    /** Of the plan, what was over before this run. */
    readonly before: PlannedWork,
    readonly host: Host,
    readonly journal: Journal,
    readonly pulse: Pulse,
    readonly output: CheckpointExport,
  ) {
    this.#started = host.control.clock
  }

  get id(): string {
    return this.plan.spec.id
  }

  /** Seconds so far, those before an interruption included and pauses not. */
  get seconds(): number {
    return this.journal.secondsBefore + this.host.control.clock - this.#started
  }

  async quantize(solve: () => Promise<Judgement>, fpPerplexity: number | null): Promise<RunResult> {
    const { output, layers } = this
    const kept = keptLinears(this.plan.linears, output.opened)
    const result: RunResult = {
      run: this.id,
      options: this.plan.options,
      state: 'finished',
      fpPerplexity,
      perplexity: null,
      perplexityError: null,
      kl: null,
      top1: null,
      perplexities: this.#perplexities,
      bitsPerWeight: 0,
      weightBytes: weightBytes(this.plan, this.plan.measured),
      meanRelativeError: null,
      worst: null,
      seconds: 0,
      layers,
      ...(kept.length && { kept }),
      export: null,
    }
    try {
      await this.journal.enter(this.id)
      await output.begin()
      const { perplexity, perplexityError, kl, klSpread, windows, top1, lambada } = await solve()
      Object.assign(result, { perplexity, perplexityError: finiteOrNull(perplexityError), kl, klSpread, windows, top1, lambada })
      if (this.#ends.length) result.ends = this.#ends
      if (output.plan.job.save) this.host.emit({ type: 'stage', run: this.id, stage: 'write', block: null, linear: null })
      this.#sumUp(result)
      result.export = await output.finish(result, () => this.pulse.beat())
    } catch (error) {
      result.state = this.host.control.cancelled ? 'cancelled' : 'failed'
      result.error = toErrorData(error)
      await output.abandon()
    }
    if (output.error) result.exportError = output.error
    result.seconds = this.seconds
    if (result.state === 'finished' && !this.journal.secondsBefore) this.host.session.pace.learn(this.id, result.seconds)
    this.#sumUp(result)
    const large = oversized(bitsPerWeight(layers))
    if (large) this.host.emit({ type: 'notice', run: this.id, problem: { severity: 'warning', code: 'note', ...large } })
    return result
  }

  /** What the linears come to together. */
  #sumUp(result: RunResult): void {
    const { layers } = result
    result.bitsPerWeight = bitsPerWeight(countedIn(result))
    if (!layers.length) return
    result.meanRelativeError = layers.reduce((sum, layer) => sum + layer.relativeError, 0) / layers.length
    if (layers.every(({ heldOutError }) => heldOutError !== undefined))
      result.meanHeldOutError = layers.reduce((sum, { heldOutError }) => sum + heldOutError!, 0) / layers.length
    const worst = layers.reduce((a, b) => (b.relativeError > a.relativeError ? b : a))
    result.worst = { name: worst.name, relativeError: worst.relativeError }
  }

  /** A linear has its result; what is told already, before a device was lost, is not told again. */
  tell(layer: LayerResult): boolean {
    if (this.#told.has(layer.name)) return false
    this.#told.add(layer.name)
    this.layers.push(layer)
    this.host.emit({ type: 'layer', run: this.id, layer })
    return true
  }

  /** The embedding or the head has its result. */
  tellEnd(end: EndResult): void {
    if (!this.#ends.some(({ name }) => name === end.name)) this.#ends.push(end)
  }

  tellPerplexity(blocks: number, { perplexity }: Score): void {
    if (this.#perplexities.some((point) => point.blocks === blocks)) return
    this.#perplexities.push({ blocks, value: perplexity })
    this.host.emit({ type: 'perplexity', run: this.id, blocks, value: perplexity })
  }

  /** So many blocks are solved, and hidden states have passed so many of them; `measured`: after how many blocks perplexity is known. */
  reach(solved: number, passed: number, measured: number[]): void {
    const { plan, work, before } = this
    const { progress } = this.pulse
    const measuring = (blocks: number[]) => blocks.reduce((sum, k) => sum + work.measure(k), 0)
    const passing = work.forward - measuring(work.measured)
    progress.reach(FORWARD, before.forward + (passing * passed) / plan.blocks + measuring(measured))
    progress.reach(plan.solver.id, before.solve + (work.solve * solved) / plan.blocks)
    const done = (passing * passed) / plan.blocks + measuring(measured) + (work.solve * solved) / plan.blocks
    // Resumed, its time is that of several sittings.
    if (!this.journal.secondsBefore) this.host.session.pace.learn(this.id, this.seconds, done / (work.forward + work.solve))
  }
}
