/** Timing on a busy machine: every round runs every task, so that ratios are taken within a round. */

export interface Task {
  name: string
  /** Does the work `times` times over; resolves when the GPU is done with all of it. */
  run(times: number): Promise<void>
  /** The result of one run, for checking. */
  read(): Promise<Float32Array>
  dispose(): void
}

/** A sample lasts at least this long, so that the wait for the GPU hardly counts. */
const SAMPLE_MS = 40

/** Milliseconds of one run: by task, by round. */
export async function measure(tasks: Task[], rounds: number, clock = () => performance.now()): Promise<number[][]> {
  const timed = async (task: Task, times: number) => {
    const start = clock()
    await task.run(times)
    return (clock() - start) / times
  }
  const times: number[] = []
  for (const task of tasks) {
    await timed(task, 1) // compiles
    const once = await timed(task, 1)
    times.push(Math.min(200, Math.ceil(SAMPLE_MS / Math.max(once, 0.01))))
  }
  const samples = tasks.map((): number[] => [])
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < tasks.length; i++) {
      const index = (i + round) % tasks.length
      samples[index].push(await timed(tasks[index], times[index]))
    }
  }
  return samples
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
}

/** Median of a / b over the rounds. */
export function ratio(a: number[], b: number[]): number {
  return median(a.map((value, round) => value / b[round]))
}
