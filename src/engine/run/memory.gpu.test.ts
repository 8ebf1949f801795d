/** A run with a quarter of the memory that it would take ends in the same bytes: what waits goes to the host and comes back. */
import { readFile } from 'node:fs/promises'
import { afterAll, expect, test } from 'vitest'
import { asWebGpu, testSource } from '../../gpu/testing.ts'
import { memoryFiles, memoryStore } from '../../io/memory.ts'
import { safetensorsOf, type TinyConfig, tinyTensors } from '../../models/testing.ts'
import type { NoteStore } from '../device-notes.ts'
import type { GpuSummary } from '../job/device.ts'
import type { RunEvent } from '../job/events.ts'
import type { RunSpec } from '../job/job.ts'
import { memoryHost, smallJob, testTexts, tinyConfig } from '../testing.ts'
import { Parking, type ScratchFile } from '../parking.ts'
import { checkJob } from '../plan/dry.ts'
import { Session } from '../session.ts'
import { runJob } from './run.ts'

const config: TinyConfig = { ...tinyConfig, num_hidden_layers: 2, hidden_size: 64, intermediate_size: 192 }
const runs: RunSpec[] = [
  { id: 'rtn', label: 'RTN', method: 'rtn', options: { bits: 4 } },
  { id: 'gptq', label: 'GPTQ', method: 'gptq', options: { bits: 3, actOrder: true } },
  { id: 'plus', label: 'QuantEase+', method: 'quantease_plus', options: { bits: 3, iterations: 2, trueSequential: true } },
  { id: 'awq', label: 'AWQ', method: 'awq', options: { bits: 4, groupSize: 32 } },
]
const sessions: Session[] = []
afterAll(async () => {
  for (const session of sessions) (await session.gpu()).destroy()
})

const devicesOf = (events: RunEvent[]) => events.flatMap((event) => (event.type === 'device' ? [`${event.state}, ${event.cause}`] : []))

interface Ways {
  /** Bytes of host memory; the file for the rest counts what it holds. */
  hosted: number
  source: GPU
  notes: NoteStore | null
  /** Sees the events. */
  at: (event: RunEvent, session: Session) => void
  methods: RunSpec[]
}

/** An adapter whose devices have so many bytes for buffers, whatever their limits suggest, and report errors beyond. `seen`: the most taken. */
function lying(bytes = Number.POSITIVE_INFINITY, seen = { most: 0 }): GPU {
  const source = testSource()
  const requestAdapter = async () => {
    const adapter = (await source.requestAdapter())!
    const request = adapter.requestDevice.bind(adapter)
    adapter.requestDevice = async (descriptor) => {
      const device = await request(descriptor)
      const create = device.createBuffer.bind(device)
      let held = 0
      device.createBuffer = (wanted) => {
        const buffer = create(wanted)
        held += wanted.size
        seen.most = Math.max(seen.most, held)
        const destroy = buffer.destroy.bind(buffer)
        buffer.destroy = () => {
          held -= wanted.size
          destroy()
        }
        if (held > bytes) device.onuncapturederror!({ error: Object.create(GPUOutOfMemoryError.prototype) } as GPUUncapturedErrorEvent)
        return buffer
      }
      return device
    }
    return adapter
  }
  return { requestAdapter } as unknown as GPU
}

/** A file in memory, and what it had to do. */
const scratched = { open: 0, read: 0, written: 0 }
async function scratch(): Promise<ScratchFile> {
  const file = await memoryStore().edit('scratch')
  scratched.open++
  return {
    read: (begin, end) => {
      scratched.read += end - begin
      return file.read(begin, end)
    },
    write: (data, at) => {
      scratched.written += data.length
      return file.write(data, at)
    },
    close: async () => void scratched.open--,
  }
}

/** Chosen by measuring: on a busy machine it may come out otherwise the next time, and then so do sums. */
let settled: GpuSummary | null = null

async function opened(memory?: number, { source = testSource(), notes = null, hosted }: Partial<Ways> = {}): Promise<Session> {
  const session = new Session(source, testTexts(), null, { memory }, notes)
  if (hosted !== undefined) session.parking = new Parking(hosted, scratch)
  sessions.push(session)
  await session.open(
    memoryFiles([
      ['config.json', JSON.stringify(config)],
      ['model.safetensors', safetensorsOf(tinyTensors(config, 5))],
      ['tokenizer.json', await readFile('public/demo/tokenizer.json', 'utf8')],
    ]),
    'tiny',
  )
  settled ??= await session.gpuSummary()
  await session.settle(settled)
  return session
}

async function run(memory?: number, { at = () => {}, methods = runs, ...ways }: Partial<Ways> = {}) {
  const session = await opened(memory, ways)
  const { host, sinks, events } = memoryHost(session, (event) => at(event, session))
  const report = await runJob(smallJob(methods, { save: true }), host)
  const gpu = asWebGpu(await session.gpu())
  return {
    report,
    events,
    session,
    gpu,
    peak: gpu.memory.peak,
    files: new Map(Array.from(sinks, ([id, sink]) => [id, sink.files.get('model.safetensors')!])),
  }
}

let whole: Awaited<ReturnType<typeof run>>

test('every method, with room and without', async () => {
  whole = await run()
  const small = await run(whole.peak / 4)
  for (const { id } of runs) {
    const [a, b] = [whole, small].map(({ report }) => report.runs.find((one) => one.run === id)!)
    expect([b.error, b.exportError]).toEqual([undefined, undefined])
    expect(b.layers.map(({ relativeError, heldOutError }) => [relativeError, heldOutError])).toEqual(
      a.layers.map(({ relativeError, heldOutError }) => [relativeError, heldOutError]),
    )
    expect(b.perplexity).toBe(a.perplexity)
    expect(Buffer.compare(small.files.get(id)!, whole.files.get(id)!)).toBe(0)
  }
  expect(small.peak).toBeLessThan(whole.peak)
}, 240_000)

test('with no memory on the host either, what waits there passes through a file, as much as foreseen', async () => {
  const session = await opened(whole.peak / 4, { hosted: 0 })
  const { runs: foreseen } = await checkJob(smallJob(runs), session)
  const passed: number[] = []
  const at = (event: RunEvent, session: Session) => {
    if (event.type !== 'run-start' && event.type !== 'run-end') return
    void session.gpu().then(({ host }) => passed.push(host.fileTraffic))
  }
  const small = await run(whole.peak / 4, { hosted: 0, at })
  for (const { id } of runs) expect(Buffer.compare(small.files.get(id)!, whole.files.get(id)!)).toBe(0)
  expect(small.gpu.host.fileTraffic).toBe(scratched.written + scratched.read)
  for (const [i, { forecast }] of foreseen.entries()) {
    const traffic = passed[2 * i + 1] - passed[2 * i]
    expect(forecast!.fileTraffic).toBeClose(traffic, { relative: 0.02 })
    // Nothing is in memory but what is on its way.
    expect(forecast!.stages.flatMap(({ hostHoldings }) => hostHoldings.map(({ holder }) => holder))).not.toContain('evaluation states')
  }
  expect(passed.at(-1)! - passed[2]).toBeGreaterThan(2 ** 18)
  // It is closed when the job ends, and then nothing is held.
  await small.session.parking.closed
  expect([scratched.open, small.gpu.host.held, small.gpu.host.filed]).toEqual([0, 0, 0])
}, 240_000)

test('what does not fit is refused before anything is computed, and the least that is named does', async () => {
  const methods = [runs[0]]
  const check = async (memory: number) => {
    const session = await opened(memory)
    const { problems, runs } = await checkJob(smallJob(methods), session)
    return { errors: problems.filter(({ severity }) => severity === 'error'), least: runs[0].forecast!.least, gpu: await session.gpu() }
  }
  const { errors, least, gpu } = await check(2 ** 19)
  expect(errors[0].message).toMatch(
    /^(Solving model.layers.\d.\S+ takes|This needs) at least .* of GPU memory; a run may use 0.5 MiB here.$/,
  )
  expect(gpu.memory.held).toBeLessThan(2 ** 19)
  expect((await check(least!.bytes)).errors).toEqual([])
  const small = await run(least!.bytes, { methods })
  expect(Buffer.compare(small.files.get('rtn')!, whole.files.get('rtn')!)).toBe(0)
  // As near as a forecast is.
  expect(small.peak).toBeLessThan(1.02 * least!.bytes)
}, 240_000)

test('a device with less memory than it may use: half of it is used from then on, and remembered', async () => {
  const kept = new Map<string, unknown>()
  const notes: NoteStore = { get: async (device) => kept.get(device), set: async (device, note) => void kept.set(device, note) }
  const methods = [runs[0]]
  const [wide, narrow] = [{ most: 0 }, { most: 0 }]
  await run(whole.peak, { source: lying(undefined, wide), methods })
  await run(whole.peak / 2, { source: lying(undefined, narrow), methods })
  expect(narrow.most).toBeLessThan(wide.most)
  const liar = { source: lying((wide.most + narrow.most) / 2), notes, methods }
  const first = await run(whole.peak, liar)
  expect(devicesOf(first.events)).toEqual(['lost, memory', 'back, memory'])
  expect(first.gpu.memoryBudget).toBe(whole.peak / 2)
  const second = await run(whole.peak, liar)
  expect(devicesOf(second.events)).toEqual([])
  expect(second.gpu.memoryBudget).toBe(whole.peak / 2)
  for (const { files } of [first, second]) expect(Buffer.compare(files.get('rtn')!, whole.files.get('rtn')!)).toBe(0)
}, 240_000)

test('a device that is lost while states wait on the host takes only the linear at hand with it', async () => {
  const solved: string[] = []
  let parked = 0
  const at = (event: RunEvent, session: Session) => {
    if (event.type !== 'layer') return
    solved.push(event.layer.name)
    // In the middle of the second block.
    if (solved.length === 10)
      void session.gpu().then((gpu) => {
        parked = gpu.host.held
        gpu.destroy()
      })
  }
  const small = await run(whole.peak / 4, { at, methods: [runs[1]] })
  expect(parked).toBeGreaterThan(0)
  expect(devicesOf(small.events)).toEqual(['lost, lost', 'back, lost'])
  // Each is told once as it is solved.
  expect(solved).toHaveLength(14)
  expect(new Set(solved).size).toBe(14)
  expect(Buffer.compare(small.files.get('gptq')!, whole.files.get('gptq')!)).toBe(0)
}, 240_000)
