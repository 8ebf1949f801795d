/** Tests of models from a local Hub, by the command line and by the engine in a browser. */
import { mkdtemp, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Browser } from 'playwright'
import { quantize } from './command-line.ts'
import { launchChromium, modelFolder, openPage } from './harness.ts'
import type {} from './hub/page.ts'
import { folderContents, type HubServer, startHub } from './hub/server.ts'
import { serveEngineOf } from './hub/site.ts'

const token = 'hf_secret_reader'
const writer = 'hf_secret_writer'
let server: HubServer
let folder: string

beforeAll(async () => {
  folder = await modelFolder()
  const main = await folderContents(folder)
  server = await startHub({
    tokens: { [token]: ['demo/stories'] },
    writers: { [writer]: ['pushed'] },
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

const quick = '--eval public/demo/evaluation.txt --nsamples 4 --seqlen 64 --eval-samples 2 --sampling consecutive --json'.split(' ')
const rtn = '--dataset public/demo/calibration.txt --quantization-method rtn --wbits 3 --num-layers-to-quantize 1'.split(' ')

describe('--model owner/name', () => {
  test('reads what it needs once, tells the token to nobody, and writes the same checkpoint as from the folder', async () => {
    const out = await mkdtemp(join(tmpdir(), 'workbench-'))
    const args = [...quick, ...rtn, '--save']
    const local = await quantize(['--model', folder, ...args, join(out, 'local')])
    expect(local.status, local.stderr).toBe(0)
    server.log.length = 0
    const hub = ['--model', 'demo/stories@main', '--hub-url', server.url, '--cache', join(out, 'cache')]
    const remote = await quantize([...hub, ...args, join(out, 'remote')], { HF_TOKEN: token })
    expect(remote.status, remote.stderr).toBe(0)
    const written = await folderContents(join(out, 'local'))
    const fetched = await folderContents(join(out, 'remote'))
    expect(String(fetched.get('README.md'))).toContain('base_model: demo/stories')
    // Card and report name where the model came from, and the manifest has their digests.
    const told = ['README.md', 'quantization_report.json', '.quantease-workbench.json']
    for (const files of [written, fetched]) for (const name of told) expect(files.delete(name), name).toBe(true)
    expect(fetched).toEqual(written)
    const { size } = await stat(join(folder, 'model.safetensors'))
    expect(server.sent()).toBeLessThan(1.05 * size)

    const result = JSON.parse(remote.stdout)
    expect(result.source).toEqual({ repo: 'demo/stories', ref: 'main', revision: expect.stringMatching(/^[0-9a-f]{40}$/) })
    const { seconds: _, network: __, source: ___, ...same } = result
    expect(same).toMatchObject({ perplexity: JSON.parse(local.stdout).perplexity, model: 'stories' })
    for (const { host, authorization } of server.log) expect(authorization).toBe(host === 'hub' ? `Bearer ${token}` : null)
    const everything = [remote.stderr, remote.stdout, ...server.log.map(({ path }) => path), ...Array.from(written.values(), String)]
    expect(everything.join('\n')).not.toContain(token)

    // A second time the weights are there, and the first time's answer with them.
    server.log.length = 0
    const again = await quantize([...hub, ...quick, '--wbits', '16'], { HF_TOKEN: token })
    expect(JSON.parse(again.stdout)).toMatchObject({ fp_perplexity: result.fp_perplexity, network: { fetched: 0 } })
    expect(server.sent(/resolve|files/)).toBe(0)

    // Nor is the Hub needed for that.
    server.fault('refused', { match: '', times: 1000 })
    const alone = await quantize([...hub, ...quick, '--wbits', '16'])
    server.clear()
    expect(alone.stderr).toMatch(/The information about the repository is from the last visit/)
    expect(JSON.parse(alone.stdout)).toMatchObject({ fp_perplexity: result.fp_perplexity, source: result.source })
  })

  test('says what stands against a model, and what to do', async () => {
    const cases: [string, RegExp][] = [
      ['demo/stories', /gated.*\(hub-denied\)\nRequest access/s],
      ['demo/nothing', /demo\/nothing.*not on 127\.0\.0\.1.*\(hub-missing\)/s],
      ['demo/bin', /only as \S*model\.bin.*\nOpen demo\/bin@refs\/pr\/7/s],
    ]
    const fresh = ['--hub-url', server.url, '--cache', await mkdtemp(join(tmpdir(), 'workbench-')), ...quick]
    for (const [model, message] of cases) {
      const { status, stdout, stderr } = await quantize(['--model', model, ...fresh, ...rtn], { HF_TOKEN: '' })
      expect([status, stdout]).toEqual([1, ''])
      expect(stderr).toMatch(message)
    }
    const converted = await quantize(['--model', 'demo/bin@refs/pr/7', ...fresh, '--wbits', '16'])
    expect(converted.status, converted.stderr).toBe(0)
    expect(JSON.parse(converted.stdout).source).toMatchObject({ repo: 'demo/bin', ref: 'refs/pr/7' })
  })
})

describe('--push', () => {
  test('uploads the checkpoint into a private repository, and goes on without computing after it broke', async () => {
    const out = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'stories')
    const place = ['--save', out, '--push', 'pushed/stories-3bit', '--hub-url', server.url, '--cache-gb', '0']
    const args = ['--model', folder, ...quick, ...rtn, ...place]
    const nobody = await quantize(args, { HF_TOKEN: '' })
    expect([nobody.status, nobody.stdout]).toEqual([1, ''])
    expect(nobody.stderr).toMatch(/Uploading to \S+ needs an access token.*\(hub-denied\)\nCreate one with write access/)
    server.fault('expired', { match: '/info/lfs/objects/batch', method: 'POST' })
    const first = await quantize(args, { HF_TOKEN: writer })
    expect(first.status).toBe(1)
    expect(JSON.parse(first.stdout)).toMatchObject({ perplexity: expect.any(Number), export_error: null, pushed: null })
    expect(first.stderr).toMatch(
      /The checkpoint was not uploaded: .*\(hub-denied\)\n.*the same command with --resume uploads what is missing/,
    )
    expect(server.commits.map(({ paths }) => paths)).toEqual([['quantization_report.json']])

    const again = await quantize([...args, '--resume'], { HF_TOKEN: writer })
    expect(again.status, again.stderr).toBe(0)
    expect(JSON.parse(again.stdout)).toEqual({ pushed: `${server.url}/pushed/stories-3bit` })
    expect(again.stderr).toMatch(/Uploaded \d+ files to \S+ \(private\); 1 were there already\./)
    expect(again.stderr).not.toMatch(/solving|activations/)
    const pushed = (await server.pushed('pushed/stories-3bit'))!
    expect(pushed.private).toBe(true)
    const written = await folderContents(out)
    written.delete('.quantease-workbench.json')
    pushed.files.delete('.gitattributes')
    expect(pushed.files).toEqual(written)
    const everything = [first, again].flatMap(({ stdout, stderr }) => [stdout, stderr]).concat(server.log.map(({ path }) => path))
    expect(everything.join('\n')).not.toContain(writer)
  })
})

describe('the engine in a browser', () => {
  let site: Awaited<ReturnType<typeof serveEngineOf>>
  let browser: Browser
  beforeAll(async () => {
    site = await serveEngineOf(server, 'workbench')
    browser = await launchChromium()
  })
  afterAll(async () => {
    await browser?.close()
    await site?.close()
  })

  const rtnJob = (calibration: string, evaluation: string) => ({
    runs: [{ id: 'rtn', label: 'RTN', method: 'rtn', options: { bits: 3, blocks: 1 } }],
    calibration: { text: calibration, samples: 4, length: 64, sampling: 'consecutive' as const },
    evaluation: { text: evaluation, samples: 2, length: 64 },
    seed: 0,
    perplexityEvery: 0,
    save: true,
  })

  test('opens a gated model, runs it with every byte read once, and goes on without a network', async () => {
    const { page, errors } = await openPage(browser, site.url)
    const refused = await page.evaluate(() => engine.open({ kind: 'hub', repo: 'demo/stories' }).catch(({ code }) => code))
    expect(refused).toBe('hub-denied')
    const model = await page.evaluate(() => engine.hubModel('demo/stories'))
    expect(model.problems.map(({ code }) => code)).toEqual(['hub-denied'])
    expect(await page.evaluate((token) => engine.setHubToken(token), token)).toMatchObject({ name: 'user-0' })
    const opened = await page.evaluate(() => engine.hubModel('demo/stories'))
    expect(opened).toMatchObject({ familyLabel: 'LLaMA', gated: 'auto', problems: [], parameters: expect.any(Number) })
    expect(opened.revisions.branches).toEqual([{ name: 'main', sha: opened.source.revision }])
    const { size } = await stat(join(folder, 'model.safetensors'))
    expect(opened.bytes).toBe(size)

    server.log.length = 0
    const summary = await page.evaluate(() => engine.open({ kind: 'hub', repo: 'demo/stories' }))
    expect(summary.source).toEqual(opened.source)
    expect(summary.parameters).toBe(opened.parameters)
    const [calibration, evaluation] = await page.evaluate(async () => {
      const add = async (name: string) => engine.addText(new File([await (await fetch(`../../demo/${name}`)).blob()], name))
      return [(await add('calibration.txt')).id, (await add('evaluation.txt')).id]
    })
    const job = rtnJob(calibration, evaluation)
    const report = await page.evaluate(async (job) => {
      const rates: number[] = []
      const report = await engine.start('first', job, (event) => event.type === 'network' && rates.push(event.traffic.fetched))
      return { ...report, rates }
    }, job)
    expect(report.runs[0]).toMatchObject({ state: 'finished', export: { checkpoints: [{ format: 'gptq' }] } })
    expect(report.rates.at(-1)).toBeGreaterThan(0.95 * size)
    expect(server.sent()).toBeLessThan(1.05 * size)
    // The browser, too, keeps the token from the storage that the Hub redirects to.
    const storage = server.log.filter(({ host }) => host === 'storage')
    expect(storage.length).toBeGreaterThan(1)
    for (const { authorization } of storage) expect(authorization).toBe(null)

    const info = await page.evaluate(() => engine.cacheInfo())
    expect(info.bytes).toBeGreaterThan(0.95 * size)
    expect(info).toMatchObject({ budget: 10e9, full: null })
    await page.context().setOffline(true)
    const offline = await page.evaluate((job) => engine.start('second', job, () => {}), { ...job, save: false })
    expect((await page.evaluate(() => engine.jobs())).map(({ id, finished }) => [id, finished])).toEqual([
      ['second', true],
      ['first', true],
    ])
    expect(offline.runs[0].perplexity).toBe(report.runs[0].perplexity)
    expect(offline.network?.fetched).toBe(0)
    expect(await page.evaluate(() => engine.hubSearch('x').catch(({ code, message }) => `${code}: ${message}`))).toBe(
      'offline: There is no network connection.',
    )
    await page.context().setOffline(false)
    await page.evaluate(() => engine.clearCache())
    expect(await page.evaluate(() => engine.cacheInfo())).toMatchObject({ bytes: 0 })
    expect(await page.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain('hf_')
    // Chromium itself reports requests that were refused or had no network.
    expect(errors.filter((line) => !/Failed to load resource/.test(line))).toEqual([])
    await page.context().close()
  })

  test('keeps a token between visits only when asked to, and a budget always', async () => {
    const { page } = await openPage(browser, site.url)
    const account = () => page.evaluate(() => engine.hubAccount())
    await page.evaluate((token) => engine.setHubToken(token, true), token)
    await page.evaluate(() => engine.setCacheBudget(1e6))
    await page.reload()
    expect(await account()).toMatchObject({ name: 'user-0' })
    expect((await page.evaluate(() => engine.cacheInfo())).budget).toBe(1e6)
    expect(await page.evaluate(() => engine.setHubToken('hf_unknown').catch(({ code }) => code))).toBe('hub-denied')
    expect(await account()).toBe(null)
    await page.evaluate((token) => engine.setHubToken(token), token)
    await page.reload()
    expect(await account()).toBe(null)
    await page.context().close()
  })

  test('a Hub that forbids the page to read is told from others, and a moment of it is survived', async () => {
    const { page } = await openPage(browser, site.url)
    server.fault('cors', { match: '^/api/models$' })
    expect((await page.evaluate(() => engine.hubSearch('bin'))).map(({ name }) => name)).toEqual(['demo/bin'])
    expect(await page.evaluate(() => said)).toEqual([expect.stringMatching(/cannot be reached; trying again/)])
    server.fault('cors', { match: '^/api/models$', times: 3 })
    expect(await page.evaluate(() => engine.hubSearch('bin').catch(({ code, hint }) => `${code}: ${hint}`))).toMatch(
      /^hub-unreachable: .*\(CORS\)/,
    )
    server.clear()
    await page.context().close()
  })

  test('signs in at the Hub and comes back to the same address', async () => {
    const { page } = await openPage(browser, `${site.url}?model=demo%2Fstories`)
    const confirmed = page.waitForResponse(/\/oauth\/userinfo$/)
    await page.evaluate(() => void engine.hubSignIn!())
    await confirmed
    await page.waitForURL(`${site.url}?model=demo%2Fstories`)
    expect(await page.evaluate(() => engine.hubAccount())).toMatchObject({ name: 'user-0' })
    await page.context().close()
  })
})
