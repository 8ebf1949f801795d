/** A checkpoint whose one large file cannot be written to its end, on a real disk: what stays, what goes, and how it goes on. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { WorkbenchError } from '../../errors.ts'
import { testSource } from '../../gpu/testing.ts'
import type { Sink } from '../../io/bytes.ts'
import type { RunEvent } from '../job/events.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'
import { Target } from './target.ts'

/** Files below a folder, by path. */
async function contents(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(paths.map(async (path) => [path.slice(folder.length + 1), await readFile(path)] as const)))
}

/** Half of the file that ends so is written, with a part of the write that fails, as disks do it. */
function failing(sink: Sink, ending: string): Sink {
  return {
    ...sink,
    async create(path, size) {
      const file = await sink.create(path, size)
      if (!path.endsWith(ending)) return file
      let written = 0
      return {
        ...file,
        async write(data, at) {
          written += data.length
          if (written < size / 2) return file.write(data, at)
          await file.write(data.subarray(0, data.length >> 1), at)
          throw new WorkbenchError('storage-failed', 'The disk went away.', 'Bring it back.')
        },
      }
    },
  }
}

const session = new Session(testSource(), testTexts())
await session.open(await tinyFiles(undefined, { ...tinyConfig, ...{ intermediate_size: 64, eos_token_id: 0 } }), 'tiny')

it.each([
  ['gguf', '.gguf'],
  ['onnx', '.onnx_data'],
])('%s: the partial file goes, all else stays, and it is written without solving again', async (format, ending) => {
  const base = await mkdtemp(join(tmpdir(), 'workbench-interrupted-'))
  try {
    const run = { id: 'one', label: 'RTN', method: 'rtn', options: { bits: 4, groupSize: 32, symmetric: true } }
    const job = smallJob([run], { save: true, formats: [format] })
    const whole = memoryHost(session)
    await runJob(job, whole.host)
    const path = join(base, 'out')
    const claim = () => Target.claim({ path, model: null, overwrite: true, say: (sentence) => expect.unreachable(sentence) })

    // An earlier checkpoint, and a file of somebody else beside it.
    await writeFile(join(base, 'mine.txt'), 'mine')
    const earlier = await claim()
    const sink = await earlier.sink()
    await (await sink.create('model.safetensors', 0)).close()
    await sink.commit()
    earlier.release()
    const before = await contents(base)

    const first = await claim()
    const { host } = memoryHost(session)
    const report = await runJob(job, { ...host, journal: first.journal, sink: async () => failing(await first.sink(), ending) })
    first.release()
    expect(report.runs[0]).toMatchObject({ state: 'finished', export: null, exportError: { message: 'The disk went away.' } })
    const left = await contents(base)
    for (const name of [...left.keys()].filter((name) => name.startsWith('out.journal'))) left.delete(name)
    expect(left).toEqual(before)

    const stages: string[] = []
    const again = memoryHost(session, (event: RunEvent) => event.type === 'stage' && stages.push(event.stage))
    const second = await claim()
    const resumed = await runJob(job, { ...again.host, journal: second.journal, sink: () => second.sink() }, { resume: true })
    second.release()
    expect(stages).toEqual(['write'])
    expect(resumed.runs[0]).toMatchObject({ perplexity: report.runs[0].perplexity, export: { checkpoints: [{ format }] } })
    const written = await contents(path)
    for (const [name, bytes] of whole.sinks.get('one')!.files)
      if (name !== 'README.md' && name !== 'quantization_report.json') expect(written.get(name)?.equals(bytes), name).toBe(true)
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})
