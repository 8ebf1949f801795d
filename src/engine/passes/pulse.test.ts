import { expect, test } from 'vitest'
import type { Device } from '../../gpu/device.ts'
import type { Host } from '../host.ts'
import type { RunEvent } from '../job/events.ts'
import { Pace } from '../pace.ts'
import type { RunWork } from '../plan/work.ts'
import { FORWARD, Pulse } from './pulse.ts'

/** A job of RTN and QuantEase on small linears: by operations alone, the second run would seem a thousand times as long as the first. */
function job(pace: Pace) {
  let now = 0
  let eta: number | null = null
  const emit = (event: RunEvent) => {
    if (event.type === 'progress') eta = event.eta
  }
  const control = {
    get clock() {
      return now
    },
  }
  const gpu = { flops: 0, memory: { held: 0, watch: () => () => 0, holdings: () => [] } }
  const [blocks, perBlock, keeping] = [43, 7, 0.055]
  const runs = [
    { id: 'a', method: 'rtn', forward: 1e10, solve: 1e8, seconds: 0.4, actual: 1.2 },
    { id: 'b', method: 'quantease', forward: 1e10, solve: 1e12, seconds: 40, actual: 120 },
  ]
  const planned = new Map([[FORWARD, 2.1e10], ...runs.map(({ method, solve }) => [method, solve] as const)])
  const pulse = new Pulse({ control, emit, session: { pace } } as unknown as Host, planned, { baseline: 1e9, runs: ['a', 'b'] })
  pulse.attach(gpu as unknown as Device)
  const total = 1 + runs.reduce((sum, { actual }) => sum + actual + blocks * perBlock * keeping, 0)
  const pass = (seconds: number, operations: number, kind: string) => {
    pulse.progress.enter(kind)
    now += seconds
    gpu.flops += operations
  }
  return {
    /** Calls `see` with the estimate and the time that is really left, after every block. */
    play(see: (eta: number | null, left: number) => void) {
      pass(1, 1e9, FORWARD)
      for (const { id, method, forward, solve, actual } of runs) {
        pulse.enter(id, { forward, solve } as RunWork)
        const started = now
        for (let block = 1; block <= blocks; block++) {
          pass(actual / blocks / 2, forward / blocks, FORWARD)
          pass(actual / blocks / 2 + perBlock * keeping, solve / blocks, method)
          for (let linear = 0; linear < perBlock; linear++) pace.keep(keeping)
          pace.learn(id, now - started, block / blocks)
          pulse.tell()
          see(eta, total - now)
        }
        pulse.leave(id)
      }
    },
    foresee: () => {
      for (const { id, method, seconds } of runs) pace.expect(id, { method, seconds, linears: blocks * perBlock })
    },
  }
}

test('the time left is told within a factor of two from the first block on, also of methods that have not begun', () => {
  const pace = new Pace()
  const { play, foresee } = job(pace)
  foresee()
  play((eta, left) => {
    if (left < 1) return
    expect(eta! / left).toBeGreaterThan(0.5)
    expect(eta! / left).toBeLessThan(2)
  })
})

test('of runs that were not foreseen, the time left is told by operations', () => {
  const { play } = job(new Pace())
  const told: (number | null)[] = []
  play((eta) => told.push(eta))
  // Not in the first seconds.
  const from = told.findIndex((eta) => eta !== null)
  expect(from).toBeLessThan(told.length * 0.7)
  expect(told.slice(from).every((eta) => eta !== null && eta >= 0)).toBe(true)
  expect(told.at(-1)).toBeLessThan(2)
})
