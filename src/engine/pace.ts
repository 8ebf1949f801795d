/**
 * Corrects time forecasts by what ran on this device. A forecast counts operations, dispatches and waits at rates from short
 * measurements; small shapes, files and other programs are not in it. So every finished block corrects the forecasts that follow: those
 * of its own method by its own factor, others by the median of all; of several factors, that of linears nearest in size counts, since
 * what is not foreseen weighs more in small ones. What it takes to keep a solved linear, in the journal and in files,
 * depends on no method and is measured by itself: on small linears it is most of the time. All this is kept
 * among the notes on a device (device-notes.ts), so that a new visit need not begin with a guess.
 */
import { isObject } from '../io/json.ts'

/** Seconds to keep a linear, until that was measured. */
const KEEP_SECONDS = 0.004
/** So many were kept before their mean is taken. */
const KEPT_LEAST = 3

/** What a run takes by its forecast. */
export interface Foreseen {
  method: string
  /** Of its operations, dispatches, waits and reading, s. */
  seconds: number
  /** To be solved and kept. */
  linears: number
}

/** Actual over forecast time of a method on linears of a size, the power of ten of their forecast seconds. */
interface Rate {
  method: string
  size: number
  factor: number
}

/** What short measurements of an adapter gave, by which forecasts count: GFLOP/s, bytes/s between host and device, seconds for a dispatch and a wait. */
export interface Probed {
  gflops: number
  transferRate: number
  dispatchSeconds: number
  tick: number
}

/** What an adapter has taught. */
export interface Learned {
  /** By what the forecasts were counted that these rates are relative to. */
  probed: Probed | null
  rates: Rate[]
  /** Linears kept, and what that took, s. */
  kept: { linears: number; seconds: number }
}

/** Most rates that are read back, and most linears kept that still count, so that a machine may change. */
const MOST = { rates: 500, linears: 300 }

export class Pace {
  #adapter: string | null = null
  #keep: ((learned: Learned) => Promise<void>) | null = null
  #saving: Promise<void> | null = null
  readonly #foreseen = new Map<string, Foreseen>()
  #rates: Rate[] = []
  #probed: Probed | null = null
  /** Of the run under way. */
  #keeping = 0
  #kept = { linears: 0, seconds: 0 }

  /** The adapter that everything now runs on, what it taught earlier, and what keeps what it teaches now. */
  on(adapter: string, earlier: unknown, keep: (learned: Learned) => Promise<void>): void {
    this.#keep = keep
    if (adapter === this.#adapter) return
    this.#adapter = adapter
    const { probed, rates, kept } = readLearned(earlier)
    this.#probed = probed
    this.#rates = rates
    this.#kept = kept
  }

  /**
   * By what to count: as measured now, until something was learned; then by what that is relative to. A measurement of milliseconds on a
   * busy machine may be several times off, and what a run took is known better.
   */
  counted(measured: Probed): Probed {
    if (!this.#rates.length || !this.#probed) this.#probed = measured
    return this.#probed
  }

  /** Forecast of a run before any correction. */
  expect(run: string, foreseen: Foreseen): void {
    this.#foreseen.set(run, foreseen)
  }

  /** Another run is under way. */
  begin(): void {
    this.#keeping = 0
  }

  /** It took so long, s, to keep a linear. */
  keep(seconds: number): void {
    this.#keeping += seconds
    this.#kept.linears++
    this.#kept.seconds += seconds
  }

  /** So much of the run under way, as a part of 1, took so long without pauses, s. */
  learn(run: string, seconds: number, share = 1): void {
    const expected = this.#foreseen.get(run)
    if (!expected || !(expected.seconds > 0) || !(seconds > 0) || !(share > 0)) return
    // Keeping may go on while the device computes.
    const rest = Math.max(seconds - this.#keeping, seconds / 100)
    const [{ method }, size] = [expected, sizeOf(expected)]
    this.#rates = this.#rates.filter((rate) => rate.method !== method || rate.size !== size)
    this.#rates.push({ method, size, factor: rest / (expected.seconds * share) })
    this.#save()
  }

  /** Actual over forecast time of what a run computes; 1 until a block has finished. */
  factor(foreseen: Foreseen): number {
    const size = sizeOf(foreseen)
    const nearest = (method: string) =>
      this.#rates.filter((rate) => rate.method === method).sort((a, b) => Math.abs(a.size - size) - Math.abs(b.size - size))[0]?.factor
    const own = nearest(foreseen.method)
    if (own !== undefined) return own
    const all = [...new Set(this.#rates.map(({ method }) => method))].map((method) => nearest(method)!).sort((a, b) => a - b)
    return all.length ? all[all.length >> 1] : 1
  }

  /** Seconds that a run takes at the pace so far. */
  seconds(foreseen: Foreseen): number {
    const { seconds, linears } = foreseen
    const { linears: count, seconds: taken } = this.#kept
    return seconds * this.factor(foreseen) + linears * (count < KEPT_LEAST ? KEEP_SECONDS : taken / count)
  }

  /** The same of a run that was foreseen; null where it was not. */
  expected(run: string): number | null {
    const foreseen = this.#foreseen.get(run)
    return foreseen ? this.seconds(foreseen) : null
  }

  /** Keeps what was learned, once for all that is learned meanwhile. */
  #save(): void {
    if (!this.#keep || this.#saving) return
    const save = async () => {
      this.#saving = null
      await this.#keep?.({ probed: this.#probed, rates: this.#rates, kept: { ...this.#kept } })
    }
    this.#saving = Promise.resolve()
      .then(save)
      .catch(() => {})
  }
}

const sizeOf = ({ seconds, linears }: Foreseen) => Math.round(Math.log10(seconds / Math.max(1, linears)))

/** What was kept, which may be of another version, or damaged: only what makes sense. */
function readLearned(given: unknown): Learned {
  const { probed, rates, kept } = isObject(given) ? given : {}
  const number = (value: unknown, least: number, most: number): value is number =>
    typeof value === 'number' && value >= least && value <= most
  const sound = (rate: unknown): rate is Rate & Record<string, unknown> =>
    isObject(rate) && typeof rate.method === 'string' && number(rate.size, -30, 30) && number(rate.factor, 1e-4, 1e6)
  const { gflops, transferRate, dispatchSeconds, tick } = isObject(probed) ? probed : {}
  const measured = number(gflops, 1e-6, 1e9) && number(transferRate, 1, 1e15) && number(dispatchSeconds, 0, 60) && number(tick, 0, 60)
  const { linears, seconds } = isObject(kept) ? kept : {}
  const counted = number(linears, 1, Number.MAX_SAFE_INTEGER) && number(seconds, 0, 1e9)
  const weight = counted ? Math.min(1, MOST.linears / linears) : 0
  return {
    probed: measured ? { gflops, transferRate, dispatchSeconds, tick } : null,
    rates: Array.isArray(rates)
      ? rates
          .slice(0, MOST.rates)
          .filter(sound)
          .map(({ method, size, factor }) => ({ method, size, factor }))
      : [],
    kept: counted ? { linears: linears * weight, seconds: seconds * weight } : { linears: 0, seconds: 0 },
  }
}
