/** Progress on stderr: on a terminal one line that is rewritten; otherwise a line at every stage and at least once a minute. */
import type { NetworkEvent, PushProgress } from '../engine/hub.ts'
import type { JobCheck } from '../engine/job/check.ts'
import type { RunEvent } from '../engine/job/events.ts'
import type { DryProgress } from '../engine/job/forecast.ts'
import type { Stage } from '../engine/job/job.ts'
import type { LayerResult } from '../engine/job/result.ts'
import { describeText, type TokenCounts } from '../engine/job/texts.ts'
import { figure } from '../figure.ts'

/** The stream for the lines. */
export interface Terminal {
  isTTY?: boolean
  write(text: string): void
}

/** Longest time without a line, s. */
const SILENCE = 50

const words: Record<Stage, string> = {
  baseline: 'measuring the unquantized model',
  restore: 'passing activations through the finished blocks',
  calibrate: 'collecting activations',
  solve: 'solving',
  propagate: 'passing activations on',
  evaluate: 'measuring perplexity',
  write: 'writing the checkpoint',
}

const uploading: Record<PushProgress['phase'], string> = {
  checking: 'looking at the repository',
  hashing: 'hashing',
  sending: 'sending',
  committing: 'committing',
}

const reading = 'reading the model and the texts'

export class Speaker {
  /** From now on the job reports notices of the network. */
  #running = false
  #waiting: string | null = null
  #transfer = ''
  #where = reading
  /** In front of all that is said of progress, where a job is one of several. */
  #step = ''
  #blocks = 0
  /** Share done and times, once there are any. */
  #progress = ''
  /** Stages of the current block that were reported. */
  #told = new Set<string>()
  #lastLine: number
  readonly #live: boolean

  constructor(
    /** Report the error of every linear. */
    readonly errors: boolean,
    readonly out: Terminal = process.stderr,
    /** Seconds. */
    readonly clock = () => performance.now() / 1000,
  ) {
    this.#live = out.isTTY === true
    this.#lastLine = clock()
  }

  /** Reports the progress if nothing was printed for long; called every few seconds. */
  tick(): void {
    if (!this.#live && this.clock() - this.#lastLine >= SILENCE) this.#status()
  }

  hear(event: RunEvent): void {
    switch (event.type) {
      case 'job-start':
        this.#start(event)
        break
      case 'baseline':
        this.#line(`Perplexity as stored: ${event.perplexity.toFixed(3)}`)
        break
      case 'stage':
        this.#stage(event)
        break
      case 'progress':
        this.#advance(event)
        break
      case 'layer':
        this.#layer(event.layer)
        break
      case 'device':
        if (event.state === 'back') this.#line('The GPU is available again; continuing after the last finished linear.')
        else this.#line(`${event.cause === 'lost' ? 'The GPU was lost' : 'The GPU has no memory left'} (${event.losses} of ${event.most}).`)
        break
      case 'notice':
        this.note(event.problem.message, event.problem.hint)
    }
  }

  /** What follows is one of several jobs, whose progress begins anew. */
  step(number: number, all: number, what: string): void {
    this.done()
    this.#begin()
    this.#where = reading
    this.note(`Step ${number} of ${all}: ${what}`)
    this.#step = `step ${number} of ${all}, `
  }

  /** Reports what was found in the texts of a job. */
  texts({ calibration, evaluation, passagesFrom }: JobCheck): void {
    const counted = ({ text }: TokenCounts) => (text === null ? '' : `; ${text.toLocaleString('en')} tokens`)
    if (calibration?.from) this.#line(`Calibration text: ${describeText(calibration.from)}${counted(calibration)}`)
    if (evaluation?.from) this.#line(`Evaluation text: ${describeText(evaluation.from)}${counted(evaluation)}`)
    if (passagesFrom) this.#line(`Passages: ${describeText(passagesFrom)}`)
  }

  /** Reports network traffic and notices, before and during the job. */
  network(event: NetworkEvent): void {
    if (event.type === 'notice') {
      if (!this.#running) this.note(event.message, event.hint)
      return
    }
    const { fetched, rate, waiting } = event.traffic
    this.#transfer = rate ? `, ${(fetched / 1e6).toFixed(1)} MB read, ${(rate / 1e6).toFixed(1)} MB/s` : ''
    if (waiting && waiting !== this.#waiting) this.#line(waiting)
    this.#waiting = waiting
  }

  /** Reports how far an upload is. */
  upload({ phase, path, done, total }: PushProgress): void {
    this.#at(`${percent(done, total)} uploaded`, `${uploading[phase]}${path === null ? '' : ` ${path}`}`)
  }

  /** Reports how far a dry run is. */
  foresee({ label, done, all }: DryProgress): void {
    this.#at(percent(done, all), `counting what ${label} takes`)
  }

  #at(progress: string, where: string): void {
    this.#progress = progress
    this.#transfer = ''
    if (this.#live) this.out.write(`\r\x1b[K${this.#progress}: ${where}`)
    else if (where !== this.#where) {
      this.#where = where
      this.#status()
    }
  }

  note(message: string, hint = ''): void {
    this.#line(`${message} ${hint}`.trim())
  }

  done(): void {
    if (this.#live) this.out.write('\r\x1b[K')
  }

  #start({ calibration, evaluation, resumed, notices, blocks }: Extract<RunEvent, { type: 'job-start' }>): void {
    this.#running = true
    this.#begin()
    this.#blocks = blocks
    const measured = `Evaluation: ${evaluation.windows} × ${evaluation.length} tokens.`
    this.#line(calibration.windows ? `Calibration: ${calibration.windows} × ${calibration.length} tokens. ${measured}` : measured)
    if (resumed) this.#line(`Resuming the job of ${resumed.started}: ${resumed.layers} linears are already solved.`)
    for (const { severity, message, hint } of notices) this.note(`${severity === 'error' ? 'Error' : 'Note'}: ${message}`, hint)
  }

  /** What was told of another job is over. */
  #begin(): void {
    this.#progress = ''
    this.#blocks = 0
    this.#told.clear()
  }

  #stage({ stage, block }: Extract<RunEvent, { type: 'stage' }>): void {
    // What precedes a job does not say how many there are.
    const place = block === null ? '' : `block ${block + 1}${this.#blocks ? ` of ${this.#blocks}` : ''}, `
    const where = `${place}${words[stage]}`
    if (!this.#where.startsWith(place) || !place) this.#told.clear()
    this.#where = where
    // Inside a block, the same stages repeat for every group of linears.
    if (this.#live || this.#told.has(where)) return
    this.#told.add(where)
    this.#status()
  }

  #advance({ done, elapsed, eta }: Extract<RunEvent, { type: 'progress' }>): void {
    this.#progress = `${Math.floor(done * 100)} %, ${duration(elapsed)}${eta === null ? '' : `, about ${duration(eta)} left`}`
    if (this.#live) this.out.write(`\r\x1b[K${this.#step}${this.#progress}${this.#transfer}`)
  }

  #layer({ name, relativeError, heldOutError, notes }: LayerResult): void {
    if (!this.errors && !notes.length) return
    this.#line([name, this.errors ? errorsOf(relativeError, heldOutError) : '', ...notes].filter(Boolean).join('  '))
  }

  #status(): void {
    this.#line(`${this.#step}${[this.#progress, this.#where].filter(Boolean).join(': ')}${this.#transfer}`)
  }

  #line(text: string): void {
    this.#lastLine = this.clock()
    this.out.write(`${this.#live ? '\r\x1b[K' : ''}${text}\n`)
  }
}

const percent = (done: number, all: number) => `${Math.floor((100 * done) / Math.max(1, all))} %`

function duration(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

const errorsOf = (seen: number, heldOut: number | undefined) =>
  `${figure(seen, 5)}${heldOut === undefined ? '' : ` (held out ${figure(heldOut, 5)})`}`
