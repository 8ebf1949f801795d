/** Set-up for tests that run whole jobs: the demo model from disk, a session on the test device, checkpoints in memory. */
import { readFile } from 'node:fs/promises'
import { type MemorySink, memorySink } from '../io/memory.ts'
import { demoFiles, demoTexts } from './demo.ts'
import { Control } from './control.ts'
import type { Job, RunEvent } from './job.ts'
import type { Host } from './run.ts'
import type { Session, TextFile } from './session.ts'

const readDemo = async (name: string) => new Blob([await readFile(`public/demo/${name}`)])

export const testDemo = () => demoFiles(readDemo)
export const testTexts = () => demoTexts(readDemo)

export function memoryText(id: string, content: string, fileName = 'text.txt'): TextFile {
  const blob = new Blob([content])
  return { id, label: id, fileName, bytes: blob.size, origin: 'file', open: async () => blob }
}

/** A job over the demo model, small enough for a software adapter. */
export function smallJob(runs: Job['runs'], changes: Partial<Job> = {}): Job {
  return {
    runs,
    calibration: { text: 'demo-calibration', samples: 4, length: 64, sampling: 'consecutive' },
    evaluation: { text: 'demo-evaluation', samples: 4, length: 64 },
    seed: 0,
    perplexityEvery: 0,
    save: false,
    ...changes,
  }
}

export function memoryHost(session: Session, onEvent: (event: RunEvent, control: Control) => void = () => {}) {
  const events: RunEvent[] = []
  const sinks = new Map<string, MemorySink>()
  const control = new Control()
  const host: Host = {
    session,
    control,
    emit(event) {
      events.push(event)
      onEvent(event, control)
    },
    async sink(run) {
      const sink = memorySink()
      sinks.set(run, sink)
      return sink
    },
  }
  return { host, events, sinks, control }
}
