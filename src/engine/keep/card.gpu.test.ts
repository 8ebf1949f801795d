/** What a checkpoint says of itself, in every format. */
import { describe, expect, it } from 'vitest'
import { testSource } from '../../gpu/testing.ts'
import { openFolder } from '../../io/folder.ts'
import { formats } from '../../io/formats/index.ts'
import { memoryFiles } from '../../io/memory.ts'
import type { CheckpointReport } from '../job/report.ts'
import { examine } from '../plan/check.ts'
import { runJob } from '../run/run.ts'
import { Session } from '../session.ts'
import { memoryHost, smallJob, testTexts, tinyConfig, tinyFiles } from '../testing.ts'

const base = `---
license: other
license_name: "own terms"
language:
- en
- de
tags:
- chat
---
# The base model
`
const source = new Map([
  ...(await tinyFiles(undefined, { ...tinyConfig, ...{ torch_dtype: 'float16' } })),
  ...memoryFiles([
    ['README.md', base],
    ['calibration.txt', 'not a part of the model'],
  ]),
])
const session = new Session(testSource(), testTexts())
await session.open(source, 'tiny <model>')

const run = { id: 'one', label: 'RTN', method: 'rtn', options: { bits: 4, groupSize: 32, symmetric: true } }
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes)

describe('a checkpoint', () => {
  it('has a card and a report in every format that holds it, and keeps the card of its base', async () => {
    const { check } = await examine(smallJob([run], { save: true }), session)
    const held = check.runs[0].formats.filter(({ refusal }) => !refusal).map(({ id }) => id)
    const { host, sinks } = memoryHost(session)
    const report = await runJob(smallJob([run], { save: true, formats: held }), host)
    const [result] = report.runs
    expect(result.exportError).toBeUndefined()
    const files = sinks.get('one')!.files
    for (const id of held) {
      const { label, library } = formats.find((format) => format.id === id)!
      const card = text(files.get(`${id}/README.md`))
      const [, front] = card.split('---\n')
      expect(front, id).toContain('license: other\nlicense_name: "own terms"\nlanguage:\n- en\n- de\n')
      expect(front).not.toContain('chat')
      expect(front).not.toContain('base_model')
      if (library !== null) expect(front).toContain(`library_name: ${library ?? 'transformers'}`)
      expect(card).toContain(`# tiny \\<model\\>, RTN, 4 bits, ${label}`)
      for (const sha of [report.model.sha256, report.texts.calibration!.tokensSha256, report.texts.evaluation.tokensSha256])
        expect(card).toContain(sha)
      expect(card).toContain(result.perplexity!.toPrecision(6))
      expect(card).toContain('- Bits: 4')
      for (const { runtime } of result.export!.checkpoints.find(({ format }) => format === id)!.loadsIn)
        expect(card).toContain(`**${runtime}**`)
      const told = JSON.parse(text(files.get(`${id}/quantization_report.json`))) as CheckpointReport
      const {
        started: _,
        ended: __,
        adapter: ___,
        runs,
        memory: ____,
        seconds: _____,
        network: ______,
        fpWindows: _______,
        job,
        // How the model came into this program.
        origin: ________,
        ...same
      } = report
      expect(told).toMatchObject(JSON.parse(JSON.stringify(same)))
      expect(told.runs[0]).toMatchObject({ perplexity: runs[0].perplexity, options: runs[0].options })
      expect(told.runs[0].layers.map(({ relativeError }) => relativeError)).toEqual(
        runs[0].layers.map(({ relativeError }) => relativeError),
      )
      expect(told.job).toMatchObject({ seed: job.seed, calibration: job.calibration })
      // Figures of each window are the job's.
      expect(JSON.stringify(told)).not.toMatch(/"(seconds|started|fpWindows|klSpread)"|"windows":\{/)
    }
    // The base model's own card travels with formats that are folders of a model, and no text does.
    expect(text(files.get('gptq/README.base.md'))).toBe(base)
    expect([...files.keys()].filter((path) => path.endsWith('calibration.txt'))).toEqual([])
  })

  it('that is quantized once more keeps the first card', async () => {
    const folder = await openFolder(
      new Map([
        ...source,
        ...memoryFiles([
          ['README.base.md', 'first'],
          ['README.md', 'ours'],
        ]),
      ]),
    )
    expect(folder.otherFiles.map(({ name }) => name).filter((name) => name.startsWith('README'))).toEqual(['README.base.md'])
    expect(folder.files.get('README.base.md')!.size).toBe('first'.length)
    expect(folder.leftOut).toEqual([{ name: 'calibration.txt', why: 'it is a text, and no part of the model' }])
  })
})
