/** The network while a job runs. */
import type { Network } from '../../io/hub/network.ts'
import type { Host } from '../host.ts'
import type { Traffic } from '../job/hub.ts'
import type { JobReport } from '../job/report.ts'

/** Reports what the network does, lets cancelling reach it, and has it wait out a lost connection. Undone by the result. */
export function follow(network: Network, { control, emit }: Host): () => void {
  const interrupt = () => network.interrupt()
  control.signal.addEventListener('abort', interrupt)
  network.patient = true
  const before = network.traffic
  const deaf = network.listen((event) => {
    if (event.type === 'traffic') emit({ type: 'network', traffic: { ...event.traffic, ...trafficSince(before, event.traffic) } })
    else emit({ type: 'notice', run: null, problem: { severity: 'note', code: event.code, message: event.message, hint: event.hint } })
  })
  return () => {
    control.signal.removeEventListener('abort', interrupt)
    network.patient = false
    deaf()
  }
}

export function trafficSince(before: Traffic, now: Traffic): NonNullable<JobReport['network']> {
  return { fetched: now.fetched - before.fetched, cached: now.cached - before.cached, requests: now.requests - before.requests }
}
