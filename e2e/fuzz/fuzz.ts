/** `npm run fuzz`: a million headers and ten thousand whole files, changed at random by seed, against every reader. */
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { judge } from './judge.ts'
import { headers, type Target, wholeFiles } from './targets.ts'

/** Inputs of one fuzz target, from a given seed on. */
interface Batch {
  target: string
  seed: number
  count: number
}

interface Tally {
  target: string
  accepted: number
  refused: number
  slowest: number
  largest: number
  failures: { seed: number; why: string }[]
}

const targets = new Map([...headers, ...wholeFiles].map((target) => [target.name, target]))
const batchSize = 500
/** Far beyond the second that an input may take: it never ends. */
const hangMilliseconds = 30_000
const shownFailures = 20

if (isMainThread) await command()
else parentPort!.on('message', async (batch: Batch) => parentPort!.postMessage(await work(batch, workerData as Int32Array)))

/** The tokenizer library tells the console of patterns that it does not know. */
console.warn = () => {}

async function work({ target: name, seed, count }: Batch, now: Int32Array): Promise<Tally> {
  const target = targets.get(name)!
  const tally: Tally = { target: name, accepted: 0, refused: 0, slowest: 0, largest: 0, failures: [] }
  for (let i = 0; i < count; i++) {
    Atomics.store(now, 0, seed + i)
    const { end, why, milliseconds, bytes } = await judge(target, seed + i)
    tally.slowest = Math.max(tally.slowest, milliseconds)
    tally.largest = Math.max(tally.largest, bytes)
    if (end === 'failed') tally.failures.push({ seed: seed + i, why })
    else tally[end]++
  }
  return tally
}

async function command(): Promise<void> {
  const { values } = parseArgs({
    options: { headers: { type: 'string' }, files: { type: 'string' }, seed: { type: 'string' }, target: { type: 'string' } },
  })
  const number = (text: string | undefined, otherwise: number) => (text === undefined ? otherwise : Number(text))
  const seed = number(values.seed, 0)
  const chosen = (all: Target[]) => all.filter(({ name }) => values.target === undefined || name === values.target)
  const batches: Batch[] = []
  for (const [all, count] of [
    [chosen(headers), number(values.headers, 1_000_000)],
    [chosen(wholeFiles), number(values.files, 10_000)],
  ] as const) {
    for (const [i, { name }] of all.entries()) {
      const share = Math.floor(count / all.length) + Number(i < count % all.length)
      for (let at = 0; at < share; at += batchSize) batches.push({ target: name, seed: seed + at, count: Math.min(batchSize, share - at) })
    }
  }
  const total = batches.reduce((sum, { count }) => sum + count, 0)
  console.log(`${total} inputs from seed ${seed}`)
  const started = performance.now()
  const tallies = new Map<string, Tally>()
  let done = 0
  await Promise.all(
    Array.from({ length: Math.max(1, availableParallelism() - 1) }, async () => {
      const now = new Int32Array(new SharedArrayBuffer(4))
      const worker = new Worker(fileURLToPath(import.meta.url), { workerData: now, resourceLimits: { maxOldGenerationSizeMb: 1024 } })
      for (let batch = batches.shift(); batch; batch = batches.shift()) {
        const tally = await answer(worker, batch, now)
        const sum = tallies.get(tally.target)
        if (!sum) tallies.set(tally.target, tally)
        else {
          for (const key of ['accepted', 'refused'] as const) sum[key] += tally[key]
          for (const key of ['slowest', 'largest'] as const) sum[key] = Math.max(sum[key], tally[key])
          sum.failures.push(...tally.failures)
        }
        done += batch.count
        if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total}`)
      }
      await worker.terminate()
    }),
  )
  console.log(`\n| ${'reader'.padEnd(20)} | accepted | refused | failed | slowest | most memory asked for |`)
  for (const { target, accepted, refused, failures, slowest, largest } of tallies.values()) {
    const cells = [
      target.padEnd(20),
      accepted,
      refused,
      failures.length,
      `${slowest.toFixed(0)} ms`,
      `${(largest / 2 ** 20).toFixed(1)} MiB`,
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
  console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`)
  const failures = [...tallies.values()].flatMap(({ target, failures }) => failures.map((failure) => ({ target, ...failure })))
  for (const { target, seed, why } of failures.slice(0, shownFailures)) console.log(`\n${target}, seed ${seed}: ${why}`)
  if (failures.length) process.exitCode = 1
}

/** The worker's answer; a worker that dies or never ends is the finding of its life, so all stops. */
function answer(worker: Worker, batch: Batch, now: Int32Array): Promise<Tally> {
  return new Promise((resolve) => {
    const stop = (why: string) => {
      console.log(`\n${batch.target}, seed ${Atomics.load(now, 0)}: ${why}`)
      process.exit(1)
    }
    let last = -1
    const watch = setInterval(() => {
      const seed = Atomics.load(now, 0)
      if (seed === last) stop(`still not read after ${hangMilliseconds / 1000} s`)
      last = seed
    }, hangMilliseconds)
    const ends = {
      message: (tally: Tally) => {
        clearInterval(watch)
        for (const [event, listener] of Object.entries(ends)) worker.off(event, listener)
        resolve(tally)
      },
      error: (error: Error) => stop(`it took the process down: ${error.stack}`),
      exit: (code: number) => stop(`it took the process down with code ${code}`),
    }
    for (const [event, listener] of Object.entries(ends)) worker.on(event, listener)
    worker.postMessage(batch)
  })
}
