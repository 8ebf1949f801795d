/** What a job is run with: the session that it works in, and where its host takes what comes out. */
import type { Score } from '../eval/perplexity.ts'
import type { Sink, Store } from '../io/bytes.ts'
import type { Network } from '../io/hub/network.ts'
import type { Control } from './control.ts'
import type { LastWords, RunEvent } from './job.ts'
import type { Session } from './session.ts'

export interface Host {
  session: Session
  control: Control
  emit(event: RunEvent): void
  /** Where a run's checkpoint goes. */
  sink(run: string): Promise<Sink>
  /** Where a job keeps what it has done. */
  journal: Store
  /** What the model's files come over, when they come over a network. */
  network?: Network
}

/** How good a model is on the evaluation text. */
export type Judgement = Score & { lambada?: LastWords }

/** A largest hidden state. */
export interface Peak {
  /** Largest |x|. */
  value: number
  /** Which hidden states those are. */
  name: string
}

/** The full-precision model's, and the largest hidden state that it had on the way, where a checkpoint is written. */
export type Baseline = Judgement & { peak: Peak | null }
