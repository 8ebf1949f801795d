/** What a job runs with: the open session, and the host's places for its output. */
import type { Score } from '../eval/perplexity.ts'
import type { Sink, Store } from '../io/bytes.ts'
import type { Network } from '../io/hub/network.ts'
import type { Control } from './control.ts'
import type { GramCache } from './grams.ts'
import type { LastWords, RunEvent } from './job.ts'
import type { Session } from './session.ts'

export interface Host {
  session: Session
  control: Control
  emit(event: RunEvent): void
  /** Where a run's checkpoint goes. */
  sink(run: string): Promise<Sink>
  /** Where the journal of a job is kept. */
  journal: Store
  /** Where the sums over the inputs of stages may be kept for later looks. */
  grams?: GramCache
  /** The network that the model's files come from, if any. */
  network?: Network
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
export type Baseline = Judgement & { peak: Peak | null }
