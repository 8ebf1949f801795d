/** Parts of a run on their own: Σ of all stages without solving anything, and linears solved by Σ that is known. */
import { WorkbenchError } from '../../errors.ts'
import { copyColumns, diagonal, inFloats } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights, LinearShape } from '../../models/family.ts'
import type { HostSums } from '../../io/gram-store.ts'
import { blockName } from '../../models/open.ts'
import { disposeBlock } from '../../models/weights.ts'
import { objective } from '../../quant/rounding.ts'
import type { PlannedRun } from '../plan/plan.ts'
import { BlockLoop } from './blocks.ts'
import { Linears, type SolvingRun } from './linears.ts'
import { StageSums } from '../passes/sums.ts'
import { disposeFolds } from '../passes/transform.ts'

/** What to solve of one block. */
export interface Part {
  k: number
  /** Names inside the block. */
  linears: string[]
  /** Of each of them, these rows of W alone, `[from, to)`. */
  rows: [from: number, to: number] | null
}

/** ‖WX‖² of what was solved, from which relative errors of slices add up; `heldOut`: over the held-out windows. */
export interface Bases {
  all: number
  heldOut: number | null
}

export class PartLoop extends BlockLoop {
  /** Hands the sums of all stages from full-precision inputs to `host.elsewhere`, but for those that it `has`. */
  async gather(run: PlannedRun, has: (k: number, stage: number) => boolean): Promise<void> {
    const { journal, opened } = this
    const windows = [...this.calibration, ...this.heldOut]
    const stagesOf = (k: number) => opened.model.layouts[k].stages
    const whole = (k: number) => stagesOf(k).every((_, stage) => has(k, stage))
    let seen = this.hidden(windows, undefined, true)
    let from = await journal.states([seen])
    if (!from || !Array.from({ length: from }, (_, k) => k).every(whole)) {
      seen.dispose()
      seen = await this.embed(windows)
      from = 0
    }
    const original = this.hidden([])
    for (let k = from; k < run.blocks; k++) {
      const full = await this.load(k)
      if (whole(k)) {
        this.stage(run, 'propagate', k)
        await this.advance(seen, full, k)
      } else {
        const open = stagesOf(k).map((_, stage) => !has(k, stage))
        await this.calibrate(run, { k, streams: { seen, original }, full, weights: full, open }, async () => {}, null)
      }
      this.unload(full)
      if (k + 1 < run.blocks) await journal.keepStates(k + 1, run.blocks, [seen])
    }
    seen.dispose()
  }

  /**
   * Solves linears of one block by sums from elsewhere; results go to the journal. Returns ‖WX‖² of slices by linear.
   * @throws {WorkbenchError} `plan-invalid` where the method needs what the sums do not have
   */
  async solve(run: SolvingRun, { k, linears: wanted, rows }: Part, tokens: number, sumsOf: (stage: number) => Promise<HostSums>) {
    const { stages } = this.opened.model.layouts[k]
    const linears = new Linears(run, this)
    const full = await this.load(k)
    const weights: BlockWeights = new Map(full)
    const { transform } = run.plan.solver
    const needed = (stage: number) => transform || stages[stage].some(({ name }) => wanted.includes(name))
    const sums = await Promise.all(stages.map(async (stage, s) => (needed(s) ? this.#upload(stage[0], await sumsOf(s), run) : null)))
    const folds = transform && (await this.rescale(run, k, weights, sums as StageSums[], tokens))
    const bases = new Map<string, Bases>()
    for (const [stage, one] of sums.entries()) {
      const chosen = stages[stage].filter(({ name }) => wanted.includes(name)).map((linear) => this.#cut(linear, rows, weights))
      if (!one || !chosen.length) continue
      for (const { name } of rows ? chosen : [])
        bases.set(blockName(this.opened, k, name), await this.#bases(weights.get(`${name}.weight`)!, one))
      const atHand = { k, stage, full, weights, chosen, known: () => undefined }
      await this.solveStage(linears, atHand, one, diagonal(this.gpu, one.seen.gram), folds ?? undefined)
    }
    for (const one of sums) one?.dispose()
    if (folds) disposeFolds(folds)
    disposeBlock(new Map([...weights].filter(([name, tensor]) => full.get(name) !== tensor)))
    this.unload(full)
    return bases
  }

  async #upload(linear: LinearShape, { gram, heldOut, sizes }: HostSums, { plan }: SolvingRun): Promise<StageSums> {
    if (plan.solver.transform && !sizes) {
      const message = `${plan.solver.label} needs the mean size of each input, which these Gram matrices were kept without.`
      throw new WorkbenchError('plan-invalid', message, 'Keep them from full-precision inputs.')
    }
    const sums = new StageSums(this.gpu, linear, { compared: false, sizes: sizes !== null, parking: null })
    this.gpu.write(sums.seen.gram, gram)
    if (heldOut) {
      await sums.turn()
      this.gpu.write(sums.heldOut!.gram, heldOut)
    }
    if (sizes) this.gpu.write(sums.sizes!, sizes)
    return sums
  }

  /** A linear, or rows of it, whose weights then stand in the place of all. */
  #cut(linear: LinearShape, rows: Part['rows'], weights: BlockWeights): LinearShape {
    if (!rows) return linear
    const name = `${linear.name}.weight`
    weights.set(name, this.#slice(weights.get(name)!, rows))
    return { ...linear, q: rows[1] - rows[0] }
  }

  /** Rows of W, columns of the `[p, q]` on the GPU. */
  #slice(weight: Tensor, [from, to]: [number, number]): Tensor {
    const part = this.gpu.empty([weight.rows, to - from])
    const wide = inFloats(this.gpu, weight)
    copyColumns(this.gpu, wide, from, part, 0, to - from)
    if (wide !== weight) wide.dispose()
    return part
  }

  async #bases(weight: Tensor, { seen, heldOut }: StageSums): Promise<Bases> {
    const held = heldOut ? await objective(this.gpu, weight, heldOut.gram) : null
    return { all: await objective(this.gpu, weight, seen.gram), heldOut: held }
  }
}
