/**
 * `QE_DEBUG=1`, or `?debug` in the page's address: what a device does, told as it does it. Each submit with its kernels and the time they took on the GPU (by
 * timestamps, where the adapter has them); after an error the kernels that were in flight and the tensors that were alive;
 * and in the end the time of each kernel. Every dispatch gets a pass of its own, so a traced device is slower.
 */
import type { Dispatch } from '../base.ts'
import { type Holding, mebibytes, type MemoryCount } from '../memory.ts'
import type { Tensor } from '../tensor.ts'
import { usage } from './buffer.ts'
import { SLOTS } from './commands.ts'
import { onNode, type Print } from './debug.ts'

/** Dispatches in a submit; each takes two timestamps of 8 bytes. */
const MOST = SLOTS

interface Submit {
  number: number
  calls: Dispatch[]
  /** Timestamps of the begin and end of each call, ns. */
  times: GPUBuffer | null
  at: number
}

export class Trace {
  readonly #queries: { set: GPUQuerySet; resolved: GPUBuffer } | null
  /** Encoded, but not submitted yet. */
  #calls: Dispatch[] = []
  #times: GPUBuffer | null = null
  readonly #inFlight = new Set<Submit>()
  /** The one that ended last. */
  #ended: Submit | null = null
  #submits = 0
  #peak: ReturnType<MemoryCount['watchHolders']> | null = null
  /** Milliseconds and calls by kernel. */
  readonly #totals = new Map<string, { ms: number; calls: number }>()

  constructor(
    readonly device: GPUDevice,
    readonly print: Print,
  ) {
    this.#queries = device.features.has('timestamp-query')
      ? {
          set: device.createQuerySet({ type: 'timestamp', count: 2 * MOST }),
          resolved: device.createBuffer({ size: 16 * MOST, usage: usage.queryResolve | usage.copySrc }),
        }
      : null
    // A process that ends does not take its device down first.
    if (onNode) process.once('exit', () => this.summary())
  }

  get full(): boolean {
    return this.#calls.length === MOST
  }

  /** The pass for one call. */
  pass(call: Dispatch): GPUComputePassDescriptor {
    const index = 2 * this.#calls.length
    this.#calls.push(call)
    if (!this.#queries) return {}
    return { timestampWrites: { querySet: this.#queries.set, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 } }
  }

  /** The last commands of a submit. */
  close(encoder: GPUCommandEncoder): void {
    if (!this.#queries || !this.#calls.length) return
    const { set, resolved } = this.#queries
    const size = 16 * this.#calls.length
    this.#times = this.device.createBuffer({ size, usage: usage.mapRead | usage.copyDst })
    encoder.resolveQuerySet(set, 0, 2 * this.#calls.length, resolved, 0)
    encoder.copyBufferToBuffer(resolved, 0, this.#times, 0, size)
  }

  submitted(done: Promise<void>): void {
    const submit = { number: ++this.#submits, calls: this.#calls, times: this.#times, at: performance.now() }
    this.#calls = []
    this.#times = null
    this.#inFlight.add(submit)
    const end = async () => {
      this.#inFlight.delete(submit)
      this.#ended = submit
      if (submit.calls.length) this.print(await this.#line(submit))
    }
    // A device that goes away tells of it by itself.
    done.then(end).catch(() => {})
  }

  /** What was going on when something went wrong. */
  failed(error: Error, live: Tensor[], holdings: Holding[]): void {
    const lines = [`[gpu] ${error.message}`, '  kernels in flight, and of the last submit that ended:']
    const groups = [...this.#inFlight].map(({ number, calls }) => ({ name: `submit ${number}`, calls }))
    // Errors are told late, when a quick submit is over already.
    if (this.#ended) groups.unshift({ name: `submit ${this.#ended.number}, done`, calls: this.#ended.calls })
    for (const { name, calls } of [...groups, { name: 'not submitted yet', calls: this.#calls }]) {
      if (calls.length) lines.push(`    ${name}: ${counted(calls)}; the last one ${called(calls.at(-1)!)}`)
    }
    lines.push('  memory:', ...linesOf(holdings))
    const bytes = live.reduce((sum, tensor) => sum + tensor.bytes, 0)
    lines.push(`  ${live.length} live tensors, ${mebibytes(bytes)}:`)
    for (const { label, shape, dtype, bytes } of live) lines.push(`    ${label} [${shape.join(', ')}] ${dtype}, ${bytes} bytes`)
    this.print(lines.join('\n'))
  }

  /** The summary tells who held this memory at its peak. */
  watch(memory: MemoryCount): void {
    this.#peak = memory.watchHolders()
  }

  /** The time of each kernel since the last summary, the slowest first, and who held memory when most of it was held. */
  summary(): void {
    if (!this.#totals.size) return
    const { held = 0, holdings = [] } = this.#peak?.() ?? {}
    if (held) this.print([`[gpu] memory at its peak, ${mebibytes(held)}:`, ...linesOf(holdings)].join('\n'))
    const rows = [...this.#totals].sort(([, a], [, b]) => b.ms - a.ms)
    this.#totals.clear()
    const lines = rows.map(([kernel, { ms, calls }]) => `  ${ms.toFixed(1).padStart(10)} ms  ${String(calls).padStart(7)} × ${kernel}`)
    this.print(['[gpu] time by kernel:', ...lines].join('\n'))
  }

  async #line({ number, calls, times, at }: Submit): Promise<string> {
    const whole = `[gpu] submit ${number}, done after ${(performance.now() - at).toFixed(1)} ms`
    const each = times && (await this.#milliseconds(times))
    if (!each) return `${whole}: ${counted(calls)}`
    const sums = new Map<string, { ms: number; calls: number }>()
    calls.forEach(({ source: { name } }, i) => {
      for (const table of [sums, this.#totals]) {
        const { ms, calls } = table.get(name) ?? { ms: 0, calls: 0 }
        table.set(name, { ms: ms + each[i], calls: calls + 1 })
      }
    })
    return `${whole}: ${[...sums].map(([kernel, { ms, calls }]) => `${kernel} × ${calls} ${ms.toFixed(2)} ms`).join(', ')}`
  }

  async #milliseconds(times: GPUBuffer): Promise<number[]> {
    await times.mapAsync(GPUMapMode.READ)
    const stamps = new BigUint64Array(times.getMappedRange().slice(0))
    times.destroy()
    return Array.from({ length: stamps.length / 2 }, (_, i) => Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6)
  }
}

const linesOf = (holdings: Holding[]) => holdings.map(({ holder, bytes }) => `    ${mebibytes(bytes).padStart(10)} ${holder}`)

/** Kernels with the number of their calls, in the order of their first ones. */
function counted(calls: Dispatch[]): string {
  const counts = new Map<string, number>()
  for (const { source } of calls) counts.set(source.name, (counts.get(source.name) ?? 0) + 1)
  return [...counts].map(([kernel, count]) => `${kernel} × ${count}`).join(', ')
}

function called({ source, bindings, params, grid }: Dispatch): string {
  const tensors = source.bindings.map(({ name }) => `${name}: ${bindings[name].label} [${bindings[name].shape.join(', ')}]`)
  const scalars = source.params.map(({ name }) => `${name} = ${params[name]}`)
  return `${source.name}(${[...tensors, ...scalars].join(', ')}) over ${grid.join(' × ')} workgroups`
}
