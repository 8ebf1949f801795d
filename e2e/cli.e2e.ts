/** Tests of the command line: arguments, exit codes, stdout and stderr. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { onSuiteAdapter, quantize, throughNpm } from './command-line.ts'
import { folderContents } from './hub/server.ts'

/** A program at work, with all that it starts. */
async function begun(args: string[]) {
  const options = { detached: true, env: await onSuiteAdapter() }
  const child = spawn('npm', ['run', '--silent', 'quantize', '--', ...args], { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  const end = new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (status) => resolve({ status, stdout, stderr }))
  })
  const kill = (signal: NodeJS.Signals) => process.kill(-child.pid!, signal)
  const early = (what: string) => end.then(({ status }) => Promise.reject(new Error(`It ended with ${status} before ${what}:\n${stderr}`)))
  return {
    end,
    kill,
    /** Resolves as soon as stderr holds the words. */
    said: (words: string) =>
      Promise.race([
        new Promise<void>((resolve) => {
          const look = () => {
            if (!stderr.includes(words)) return
            child.stderr.off('data', look)
            resolve()
          }
          child.stderr.on('data', look)
          look()
        }),
        early(`"${words}"`),
      ]),
    async killedWhen(come: () => boolean) {
      const gone = end.then(() => true)
      while (!come()) if (await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 2))])) return early('it was to be killed')
      kill('SIGKILL')
      expect((await end).status).toBeNull()
    },
  }
}

/** Runs until stderr says `when`, and is killed with all that it started. */
async function killed(args: string[], when: string): Promise<void> {
  const run = await begun(args)
  await run.said(when)
  run.kill('SIGKILL')
  expect((await run.end).status, when).toBeNull()
}

/** Of all files of a folder, which may be large. */
async function digests(folder: string): Promise<Record<string, string>> {
  const files = await folderContents(folder)
  return Object.fromEntries(Array.from(files, ([path, bytes]) => [path, createHash('sha256').update(bytes).digest('hex')]))
}

const quick = ['--nsamples', '4', '--seqlen', '64', '--eval-samples', '2', '--eval-seqlen', '64', '--sampling', 'consecutive']

describe('npm run quantize', () => {
  test('quantizes the demo model, saves it, and the saved folder measures the same', async () => {
    const folder = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'saved')
    const args = ['--model', 'demo', '--quantization-method', 'quantease', '--wbits', '2', '--groupsize', '64', '--num-iter', '3', ...quick]
    const passages = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'passages.txt')
    await writeFile(passages, 'Ada walked to the well.\nOnce upon a time there was a robot.\n\nIt rained all day.\n')
    const more = ['--num-layers-to-quantize', '2', '--compute-quantization-recon-error', '--lambada', passages, '--lambada-passages', '2']
    const prompt = ['--prompt', 'Once upon a time', '--prompt-tokens', '8']
    const saved = await throughNpm(...args, ...more, ...prompt, '--save', folder, '--json')
    expect(saved.status, saved.stderr).toBe(0)
    const result = JSON.parse(saved.stdout)
    const keys =
      'adapter model source run method options fp_perplexity perplexity perplexity_se kl kl_se kl_median kl_p99 kl_max top1 fp_lambada lambada mean_relative_error mean_held_out_error bits_per_weight bits seconds network export_error pushed kept layers continuation'
    expect(Object.keys(result)).toEqual(keys.split(' '))
    expect(result.fp_lambada.passages).toBe(2)
    expect(result.lambada).toMatchObject({ passages: 2, accuracy: expect.any(Number), se: expect.any(Number) })
    expect(result.layers).toHaveLength(14)
    expect([result.source, result.network]).toEqual([null, null])
    expect(result.layers[0]).toMatchObject({ name: 'model.layers.0.self_attn.q_proj', iterations: 3 })
    expect(result.layers[0].bits).toEqual({ codes: 2, scales: 16 / 64, zeros: 2 / 64, outliers: 0, group_index: 0 })
    // Two of four blocks, the others in F16.
    expect(result.bits_per_weight).toBeCloseTo((2 + 18 / 64 + 16) / 2, 6)
    expect(result.bits).toEqual({ codes: 1, scales: 8 / 64, zeros: 1 / 64, outliers: 0, group_index: 0, kept: 8 })
    expect(result.kept).toHaveLength(14)
    expect(result.layers[0].notes).toEqual([])
    expect(saved.stderr).toContain('model.layers.1.mlp.down_proj')
    expect((await readdir(folder)).sort()).toEqual([
      '.quantease-workbench.json',
      'README.md',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'quantization_report.json',
      'quantize_config.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
    expect(await readFile(join(folder, 'tokenizer.json'))).toEqual(await readFile('public/demo/tokenizer.json'))

    // What was solved was kept for the text alone.
    expect(existsSync(`${folder}.journal`)).toBe(false)
    const back = await quantize(['--model', folder, '--wbits', '16', '--eval', 'public/demo/evaluation.txt', ...quick, ...prompt, '--json'])
    expect(back.status, back.stderr).toBe(0)
    const { perplexity, layers, method, continuation } = JSON.parse(back.stdout)
    const { as_stored: full, quantized } = result.continuation
    expect(quantized.ids).toHaveLength(8)
    expect(quantized.ids).not.toEqual(full.ids)
    expect(continuation.as_stored.ids).toEqual(quantized.ids)
    expect(Math.abs(perplexity / result.perplexity - 1)).toBeLessThan(1e-3)
    expect([layers, method]).toEqual([[], null])
  })

  test('takes every argument of the published script with every method, and says which have no effect', async () => {
    const published = ['--wbits', '4', '--groupsize', '-1', '--sym', '--num-iter', '2', '--outlier', '0.01', '--alpha', '1', '--act-order']
    const further = ['--static-groups', '--structure-outlier', '--true-sequential', '--num-layers-to-quantize', '1000', '--seed', '0']
    const method = ['--quantization-method', 'rtn', '--compute-quantization-recon-error']
    const { status, stdout, stderr } = await throughNpm('--model', 'demo', ...published, ...further, ...method, ...quick, '--json')
    expect(status, stderr).toBe(0)
    expect(JSON.parse(stdout).layers).toHaveLength(28)
    const said = /Note: (.*) have no effect with rtn\./.exec(stderr)?.[1].split(', ').sort()
    expect(said).toEqual(['--act-order', '--alpha', '--num-iter', '--outlier', '--static-groups', '--structure-outlier'])
    // Without a terminal it says where it is, the baseline included, and nothing of Dawn's own.
    expect(stderr).toContain('measuring the unquantized model')
    expect(stderr).toMatch(/^\d+ %, \d+ s(, about \d+ s left)?: block 4 of 4, solving$/m)
    expect(stderr).not.toMatch(/Vulkan|BackendVk|operator\(\)/)
  })

  test('fills a budget with widths linear by linear, and tells how uniform ones do', async () => {
    const folder = join(await mkdtemp(join(tmpdir(), 'workbench-')), 'out')
    const saving = ['--save', folder, '--format', 'compressed-tensors', '--report', `${folder}.json`, '--json']
    const few = ['--nsamples', '2', '--seqlen', '32', '--eval-samples', '2', '--quantization-method', 'rtn']
    const made = await quantize(['--model', 'demo', ...few, '--target-bpw', '3.2', ...saving])
    expect(made.status, made.stderr).toBe(0)
    const { bits_per_weight, budget, options, layers, kl } = JSON.parse(made.stdout)
    expect(bits_per_weight).toBeLessThanOrEqual(3.2)
    expect(bits_per_weight).toBeGreaterThan(3.15)
    expect(budget).toMatchObject({ target_bpw: 3.2, size: bits_per_weight, uniform: [{ bits: 3 }, { bits: 4 }] })
    // Uniform 3 bits are smaller, and cost more.
    expect(budget.uniform[0].bits_per_weight).toBeLessThan(bits_per_weight)
    expect(budget.uniform[0].kl).toBeGreaterThan(kl)
    expect(budget.better).toBe('mixture')
    const overrides = (options.overrides as string[]).flatMap((text) => ['--override', text])
    const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))
    expect(Object.keys(config.quantization_config.config_groups).length).toBeGreaterThan(1)
    const { job, runs } = JSON.parse(await readFile(`${folder}.json`, 'utf8'))
    expect(job.runs[0].label).toBe('RTN, at most 3.200 bits per weight')
    expect(runs.map((run: { kl: number }) => run.kl)).toEqual([kl, ...budget.uniform.map((one: { kl: number }) => one.kl)])
    // What it chose can be asked for by hand.
    const again = await quantize(['--model', 'demo', ...few, ...overrides, '--json'])
    expect(again.status, again.stderr).toBe(0)
    expect(JSON.parse(again.stdout).kl).toBe(kl)
    expect(JSON.parse(again.stdout).layers.map(({ own }: { own: unknown }) => own)).toEqual(layers.map(({ own }: { own: unknown }) => own))
    for (const [args, said] of [
      [['--target-bpw', '1'], 'Ask for'],
      [['--override', 'gate:bits=2'], 'matches no linear that is quantized'],
    ] as const) {
      const refused = await quantize(['--model', 'demo', ...few, ...args])
      expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(said)])
    }
  })

  test('names what has no effect where it only measures', async () => {
    const given = ['--chat-template', '--sym', '--nsamples', '4', '--seed', '1', '--date', '2026-01-01']
    const few = ['--eval-samples', '1', '--seqlen', '32']
    const { status, stdout, stderr } = await quantize(['--model', 'demo', '--wbits', '16', ...given, ...few, '--eval-samples', '2'])
    expect(status, stderr).toBe(0)
    expect(stderr).toContain(
      'Note: --sym, --nsamples, --seed, --date, --chat-template have no effect with --wbits 16, which only measures.',
    )
    expect(stdout).toMatch(/as stored: [\d.]+ ± [\d.]+ \(standard error over windows\)/)
  })

  test('killed, it goes on with --resume and ends in the same bytes, and mixes nothing', async () => {
    const out = await mkdtemp(join(tmpdir(), 'workbench-'))
    const args = ['--model', 'demo', '--quantization-method', 'quantease', '--num-iter', '3', '--num-layers-to-quantize', '2', ...quick]
    const to = (name: string) => [...args, '--compute-quantization-recon-error', '--save', join(out, name)]
    const undisturbed = await quantize(to('whole'))
    expect(undisturbed.status, undisturbed.stderr).toBe(0)

    await killed(to('parts'), 'model.layers.0.self_attn.v_proj')
    expect((await readdir(out)).sort()).toContain('parts.journal')
    const unasked = await quantize(to('parts'))
    expect([unasked.status, unasked.stdout]).toEqual([1, ''])
    expect(unasked.stderr).toMatch(/contains an unfinished job \(([3-9]|1[0-3]) of 14 linears are solved\).*--resume/s)
    const other = await quantize([...to('parts'), '--resume', '--seed', '1', '--wbits', '4'])
    expect([other.status, other.stdout]).toEqual([1, ''])
    expect(other.stderr).toMatch(/the methods or their options differ.*\(journal-mismatch\)/s)
    // Asked to end, it gives back what it holds.
    const asked = await begun([...to('parts'), '--resume'])
    await asked.said('Resuming the job')
    asked.kill('SIGTERM')
    expect((await asked.end).stderr).toMatch(/cancelled.*--resume continues/s)
    expect((await readdir(out)).sort()).toEqual(['parts.journal', 'whole'])

    const resumed = await quantize([...to('parts'), '--resume'])
    expect(resumed.status, resumed.stderr).toBe(0)
    expect(resumed.stdout.replaceAll('parts', 'whole')).toBe(undisturbed.stdout)
    expect(resumed.stderr).toMatch(/Resuming the job of .*: ([3-9]|1[0-3]) linears are already solved\./)
    expect(await folderContents(join(out, 'parts'))).toEqual(await folderContents(join(out, 'whole')))
    expect((await readdir(out)).sort()).toEqual(['parts', 'whole'])
  })

  test('harms nothing: the model, other folders, a run at work, a checkpoint whose disk goes away', { timeout: 300_000 }, async () => {
    const out = await mkdtemp(join(tmpdir(), 'workbench-'))
    const model = join(out, 'model')
    await cp('public/demo', model, { recursive: true })
    // Half a second of writing at the end, to be killed in.
    await writeFile(join(model, 'big.txt'), '')
    await truncate(join(model, 'big.txt'), 2 ** 28)
    await mkdir(join(out, 'thesis'))
    await writeFile(join(out, 'thesis', 'thesis.docx'), 'years of work')
    const before = await digests(model)
    const texts = ['--dataset', 'public/demo/calibration.txt', '--eval', 'public/demo/evaluation.txt']
    const args = ['--model', model, ...texts, '--quantization-method', 'rtn', '--num-layers-to-quantize', '1', ...quick]
    for (const [place, words] of [
      ['model', /model’s own folder/],
      ['model/out', /is inside the model’s folder/],
      ['', /contains the model’s folder/],
      ['thesis', /did not write: thesis\.docx/],
    ] as const) {
      const refused = await quantize([...args, '--overwrite', '--save', join(out, place)])
      expect([refused.status, refused.stdout], refused.stderr).toEqual([2, ''])
      expect(refused.stderr).toMatch(words)
    }
    expect((await readdir(out)).sort()).toEqual(['model', 'thesis'])

    const to = (name: string) => [...args, '--save', join(out, name), '--json']
    const whole = await quantize(to('whole'))
    expect(whole.status, whole.stderr).toBe(0)

    const started = await begun(to('parts'))
    await started.said('block 1 of')
    // It holds still, so that it is not over before the second one has begun.
    started.kill('SIGSTOP')
    const second = await quantize([...to('parts'), '--resume'])
    expect([second.status, second.stdout]).toEqual([1, ''])
    expect(second.stderr).toMatch(/Another run is writing to \S+parts: process \d+ on \S+ since 20.*\(journal-busy\)/s)
    started.kill('SIGCONT')
    // It has taken the small files first.
    await started.killedWhen(() => existsSync(join(out, 'parts.partial', 'big.txt')))
    expect((await readdir(out)).sort()).toEqual(['model', 'parts.journal', 'parts.lock', 'parts.partial', 'thesis', 'whole'])

    // The place is gone when the rest is to be written.
    const again = await begun([...to('parts'), '--resume'])
    await again.said('Took over from process')
    await again.said('Resuming the job')
    again.kill('SIGSTOP')
    const place = join(out, 'parts')
    await writeFile(place, 'somebody else’s')
    again.kill('SIGCONT')
    const failed = await again.end
    expect(failed.status, failed.stderr).toBe(1)
    expect(JSON.parse(failed.stdout)).toMatchObject({
      perplexity: JSON.parse(whole.stdout).perplexity,
      export_error: { code: 'option-invalid' },
    })
    expect(failed.stderr).toMatch(/The checkpoint was not saved: .*parts is a file.*--resume writes the checkpoint again, without solving/s)
    expect(await readFile(place, 'utf8')).toBe('somebody else’s')
    await rm(place)
    expect((await readdir(out)).sort()).toEqual(['model', 'parts.journal', 'thesis', 'whole'])

    const last = await quantize([...to('parts'), '--resume'])
    expect(last.status, last.stderr).toBe(0)
    expect(last.stderr).not.toMatch(/solving|collecting/)
    const timeless = (text: string) => JSON.stringify(JSON.parse(text), (key, value) => (key === 'seconds' ? 0 : value))
    expect(timeless(last.stdout)).toBe(timeless(whole.stdout))
    expect(await digests(join(out, 'parts'))).toEqual(await digests(join(out, 'whole')))
    expect((await readdir(out)).sort()).toEqual(['model', 'parts', 'thesis', 'whole'])
    expect(await digests(model)).toEqual(before)
    expect(await readFile(join(out, 'thesis', 'thesis.docx'), 'utf8')).toBe('years of work')
  })

  test('--dry-run says from a config.json alone what every algorithm takes, on a named device or on figures given', async () => {
    const config = ['--model', 'e2e/dry-runs/SmolLM2-135M.json', '--dry-run', '--nsamples', '8', '--eval-samples', '8', '--seqlen', '256']
    const named = await quantize([...config, '--device', 'rtx-4090', '--json'])
    expect(named.status, named.stderr).toBe(0)
    const { model, methods } = JSON.parse(named.stdout)
    expect(model).toMatchObject({ name: 'SmolLM2-135M', blocks: 30 })
    const ids = methods.map(({ id }: { id: string }) => id)
    expect(ids).toEqual(['rtn', 'quantease', 'gptq', 'gptq_quantease', 'quantease_plus', 'spqr', 'awq'])
    for (const { id, forecast } of methods) {
      expect(forecast.gpuBytes, id).toBe(Math.max(...forecast.stages.map(({ gpuBytes }: { gpuBytes: number }) => gpuBytes)))
      expect(forecast.seconds, id).toBeGreaterThan(0)
    }
    const given = await quantize(['--model', 'demo', '--dry-run', '--device-memory', '1', '--device-gflops', '2'])
    expect(given.status, given.stderr).toBe(0)
    expect(given.stdout).toMatch(/^Demo model: LLaMA, .*1\.00 GiB of memory, 2 GFLOP\/s/s)
  })

  test('a wrong argument exits 2 with a sentence, a failed run 1, and neither writes to stdout', async () => {
    const taken = await mkdtemp(join(tmpdir(), 'workbench-'))
    await writeFile(join(taken, 'mine.txt'), 'x')
    const spqr = ['--model', 'demo', '--quantization-method', 'spqr', '--groupsize', '16', '--format', 'gptq', '--save', taken]
    const wrong: [string[], number, RegExp][] = [
      [[], 2, /--model is needed/],
      [['--model', 'demo', '--wbits', '5'], 2, /2, 3, 4 or 8, not 5/],
      [['--model', 'demo', '--groupsize', '7'], 2, /full row, 32, 64 or 128, not 7/],
      [['--model', 'demo', '--num-iter', '0'], 2, /1 to 1000, not 0/],
      [['--model', 'demo', '--quantization-method', 'gptq', '--percdamp', '2'], 2, /0.0001 to 1, not 2/],
      [['--model', 'demo', '--quantization-method', 'magic'], 2, /rtn, .*not "magic"/],
      [['--model', 'demo', '--quantization-method', 'rtn', '--percdamp', 'much'], 2, /--percdamp: .*much/],
      [['--model', 'demo', '--quantization-method', 'rtn', '--num-iter', '-3'], 2, /--num-iter: .*from/],
      // One flag, two meanings.
      [['--model', 'demo', '--quantization-method', 'quantease', '--outlier', '1.5'], 2, /0 to 0.49, not 1.5/],
      [['--model', 'demo', '--quantization-method', 'spqr', '--outlier', '0'], 2, /0.01 to 1000000, not 0/],
      [['--model', 'demo', '--nsamples', 'many'], 2, /--nsamples has to be a whole number/],
      [['--model', 'demo', '--dry-run', '--device', 'abacus'], 2, /rtx-4090, not "abacus"/],
      [['--model', 'demo', '--colour'], 2, /--colour/],
      [['--model', 'demo', '--sampling', 'best'], 2, /random, consecutive, documents, not "best"/],
      [['--model', 'demo', '--dataset', 'nowhere.parquet'], 1, /nowhere.parquet cannot be read/],
      [['--model', 'no/such/folder', '--eval', 'public/demo/evaluation.txt', '--wbits', '16'], 1, /no folder .*no\/such\/folder/],
      [['--model', 'public/demo', '--wbits', '3'], 2, /--eval is needed/],
      // Two faults, both told.
      [spqr, 2, /GPTQ cannot store the result of SpQR as it is planned: .*files that this program did not write: mine\.txt/],
      [['--model', 'demo', '--seqlen', '4096'], 2, /512 positions/],
      [['--model', 'shaders', '--dataset', 'public/demo/evaluation.txt', '--eval', 'public/demo/evaluation.txt'], 1, /config\.json/],
    ]
    for (const [args, status, message] of wrong) {
      const result = await quantize(args)
      expect(result.status, `${args.join(' ')}: ${result.stderr}`).toBe(status)
      expect(result.stderr).toMatch(message)
      expect(result.stdout).toBe('')
    }
  })

  test('--help names every flag of the published script', async () => {
    const { status, stdout, stderr } = await throughNpm('--help')
    // No adapter is looked for.
    expect(stderr).not.toContain('adapter')
    expect(status).toBe(0)
    const flags =
      'model dataset eval lambada lambada-passages chat-template nsamples seqlen sampling eval-samples eval-seqlen seed wbits groupsize sym num-iter true-sequential act-order static-groups num-layers-to-quantize quantization-method compute-quantization-recon-error save'
    for (const flag of flags.split(' ')) expect(stdout).toContain(`--${flag}`)
  })
})
