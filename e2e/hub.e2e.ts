/** Models from a Hub on this machine, through the command line as a person types it. */
import { execFile } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { modelFolder } from './harness.ts'
import { folderContents, type HubServer, startHub } from './hub/server.ts'

const token = 'hf_secret_reader'
let server: HubServer
let folder: string

beforeAll(async () => {
  folder = await modelFolder()
  const main = await folderContents(folder)
  server = await startHub({
    tokens: { [token]: ['demo/stories'] },
    repos: [
      { name: 'demo/stories', revisions: { main }, gated: 'auto' },
      {
        name: 'demo/bin',
        revisions: {
          main: new Map([...main].map(([path, content]) => [path.replace('.safetensors', '.bin'), content])),
          'refs/pr/7': main,
        },
      },
    ],
  })
})
afterAll(() => server.close())

async function quantize(args: string[], env: Record<string, string> = {}) {
  const all = ['run', '--silent', 'quantize', '--', ...args]
  const { stdout, stderr, code = 0 } = await promisify(execFile)('npm', all, { env: { ...process.env, ...env } }).catch((error) => error)
  return { status: code as number, stdout: stdout as string, stderr: stderr as string }
}

const quick = '--eval public/demo/evaluation.txt --nsamples 4 --seqlen 64 --eval-samples 2 --sampling consecutive --json'.split(' ')
const rtn = '--dataset public/demo/calibration.txt --quantization-method rtn --wbits 3 --num-layers-to-quantize 1'.split(' ')

describe('--model owner/name', () => {
  test('reads what it needs once, tells the token to nobody, and writes the same checkpoint as from the folder', async () => {
    const out = await mkdtemp(join(tmpdir(), 'workbench-'))
    const args = [...quick, ...rtn, '--save']
    const local = await quantize(['--model', folder, ...args, join(out, 'local')])
    expect(local.status, local.stderr).toBe(0)
    server.log.length = 0
    const remote = await quantize(['--model', 'demo/stories@main', '--hub-url', server.url, ...args, join(out, 'remote')], {
      HF_TOKEN: token,
    })
    expect(remote.status, remote.stderr).toBe(0)
    expect(await folderContents(join(out, 'remote'))).toEqual(await folderContents(join(out, 'local')))

    const result = JSON.parse(remote.stdout)
    expect(result.source).toEqual({ repo: 'demo/stories', ref: 'main', revision: expect.stringMatching(/^[0-9a-f]{40}$/) })
    const { seconds: _, network: __, source: ___, ...same } = result
    expect(same).toMatchObject({ perplexity: JSON.parse(local.stdout).perplexity, model: 'stories' })
    for (const { host, authorization } of server.log) expect(authorization).toBe(host === 'hub' ? `Bearer ${token}` : null)
    expect(remote.stderr + remote.stdout + server.log.map(({ path }) => path).join()).not.toContain(token)
  })

  test('says what stands against a model, and what to do', async () => {
    const cases: [string, RegExp][] = [
      ['demo/stories', /gated.*\(hub-denied\)\nAsk for access/s],
      ['demo/nothing', /demo\/nothing.*not on 127\.0\.0\.1.*\(hub-missing\)/s],
      ['demo/bin', /model\.bin only.*\nOpen demo\/bin@refs\/pr\/7/s],
    ]
    for (const [model, message] of cases) {
      const { status, stdout, stderr } = await quantize(['--model', model, '--hub-url', server.url, ...quick, ...rtn], { HF_TOKEN: '' })
      expect([status, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(message)
    }
    const converted = await quantize(['--model', 'demo/bin@refs/pr/7', '--hub-url', server.url, '--wbits', '16', ...quick])
    expect(converted.status, converted.stderr).toBe(0)
    expect(JSON.parse(converted.stdout).source).toMatchObject({ repo: 'demo/bin', ref: 'refs/pr/7' })
  })
})
