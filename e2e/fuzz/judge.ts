/**
 * Reads one input and judges the outcome: it has to be accepted, or refused by a typed error, within a second and without excessive
 * memory.
 */
import { getHeapStatistics } from 'node:v8'
import { WorkbenchError } from '../../src/errors.ts'
import { Dice } from './mutate.ts'
import type { Target } from './targets.ts'

export interface Verdict {
  end: 'accepted' | 'refused' | 'failed'
  /** What is wrong, for a failure. */
  why: string
  milliseconds: number
  /** Asked for by size while reading, or by how much the heap had grown behind it, garbage included. */
  bytes: number
}

const mostMilliseconds = 1000
/** A text is read up to 32 million characters whatever its file; the rest is in proportion to the file. */
const mostBytes = (file: number) => 2 ** 27 + 256 * file

export async function judge(target: Target, seed: number): Promise<Verdict> {
  const verdict = await once(target, seed)
  // Another program may have had the processor: what is slow is slow three times.
  for (let again = 0; again < 2 && verdict.milliseconds > mostMilliseconds; again++) {
    verdict.milliseconds = Math.min(verdict.milliseconds, (await once(target, seed)).milliseconds)
  }
  if (verdict.end !== 'failed' && verdict.milliseconds > mostMilliseconds) {
    return { ...verdict, end: 'failed', why: `took ${Math.round(verdict.milliseconds)} ms` }
  }
  return verdict
}

async function once(target: Target, seed: number): Promise<Verdict> {
  const input = target.input(new Dice(seed))
  const before = heap()
  const allocations = watchAllocations()
  const start = performance.now()
  let end: Verdict['end'] = 'accepted'
  let why = ''
  try {
    await input.read()
  } catch (error) {
    if (error instanceof WorkbenchError) end = 'refused'
    else {
      end = 'failed'
      why = error instanceof Error ? String(error.stack) : String(error)
    }
    if (error instanceof WorkbenchError && (!error.message || !error.hint)) {
      end = 'failed'
      why = `an error without words: ${error.stack}`
    }
  } finally {
    allocations.stop()
  }
  const milliseconds = performance.now() - start
  const bytes = Math.max(allocations.bytes, heap() - before)
  if (end !== 'failed' && bytes > mostBytes(input.bytes)) {
    end = 'failed'
    why = `asked for ${bytes} bytes for a file of ${input.bytes}`
  }
  return { end, why, milliseconds, bytes }
}

function heap(): number {
  const { used_heap_size: used, external_memory: external } = getHeapStatistics()
  return used + external
}

const counted = [
  'Array',
  'ArrayBuffer',
  'Uint8Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
] as const

/** Adds up the sizes that arrays and buffers are made with, by standing in for their constructors. */
function watchAllocations() {
  const real = counted.map((name) => ({ name, made: globalThis[name] as unknown as new (...args: unknown[]) => object }))
  const watch = {
    bytes: 0,
    stop() {
      for (const { name, made } of real) Object.assign(globalThis, { [name]: made })
    },
  }
  for (const { name, made } of real) {
    const width = 'BYTES_PER_ELEMENT' in made ? Number(made.BYTES_PER_ELEMENT) : name === 'Array' ? 8 : 1
    const count = (args: unknown[]) => {
      if (args.length === 1 && typeof args[0] === 'number') watch.bytes += args[0] * width
    }
    const stand: typeof made = new Proxy(made, {
      construct(target, args, maker) {
        count(args)
        return Reflect.construct(target, args, maker === stand ? target : maker)
      },
      apply(target, self, args) {
        count(args)
        return Reflect.apply(target as unknown as () => unknown, self, args)
      },
    })
    Object.assign(globalThis, { [name]: stand })
  }
  return watch
}
