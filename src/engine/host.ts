/** What a job runs with: the open session, and the host's places for its output. */
import type { Score } from '../eval/perplexity.ts'
import type { Sink, Store } from '../io/bytes.ts'
import type { Network } from '../io/hub/network.ts'
import type { Control } from './control.ts'
import type { GramCache } from './grams.ts'
import type { Device } from '../gpu/device.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { SolvedLinear } from '../quant/linear.ts'
import type { InputSums } from '../quant/target.ts'
import type { RunEvent } from './job/events.ts'
import type { LastWords, LayerResult, ProductsUsed } from './job/result.ts'
import type { Session } from './session.ts'

export interface Host {
  session: Session
  control: Control
  emit(event: RunEvent): void
  /** Where a run's checkpoint goes. */
  sink(run: string): Promise<Sink>
  /** Where the journal of a job is kept. */
  journal: Store
  /** What a run solved stays in the journal, also where the job does not ask for it. */
  keepsSolved?: boolean
  /** Where the sums over the inputs of stages may be kept for later looks. */
  grams?: GramCache
  /** Solving in several programs. */
  elsewhere?: Elsewhere
  /** The network that the model's files come from, if any. */
  network?: Network
}

/** What a stage of a block summed up: `StageSums` of the run. */
export interface SummedStage {
  gpu: Pick<Device, 'read'>
  seen: InputSums
  heldOut: InputSums | null
  /** Σ |x_j|, `[p]` */
  sizes: Tensor | null
}

/** A linear as a run keeps it. */
export interface SolvedElsewhere {
  layer: LayerResult
  stored: SolvedLinear
}

/** Sums that go to other programs, and what these solved. */
export interface Elsewhere {
  /** Keeps what the inputs of a stage sum up to. */
  keep?(k: number, stage: number, sums: SummedStage): Promise<void>
  /** Those of these linears, by full name, that are solved. */
  solved?(names: string[]): Promise<Map<string, SolvedElsewhere>>
  /** Vectors of block k that a transform changed, by full name; null where they are not known. */
  vectors?(k: number): Promise<Map<string, Uint8Array<ArrayBuffer>> | null>
  /** All of these linears, once others have solved them; missing where this program solves them. */
  wait?(names: string[]): Promise<Map<string, SolvedElsewhere>>
}

/** Scores of a model on the evaluation text. */
export type Judgement = Score & { lambada?: LastWords }

/** The largest absolute hidden state of a model. */
export interface Peak {
  /** Largest |x|. */
  value: number
  /** Where in the model it occurs. */
  name: string
}

/** Scores of the full-precision model and, when a checkpoint is written, its largest hidden state. */
export type Baseline = Judgement & { peak: Peak | null; products?: ProductsUsed }
