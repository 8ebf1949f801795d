/**
 * `npm run gpu-machine -- [--out FOLDER] [--only bench,tests,quantize,published] [--blocks 30] [--samples 32] [--tests short|all]
 * [--shard 1/2] [--rounds 5] [--minutes 9] [--python PROGRAM] [--software]`: all that is to be measured on a machine with a GPU, in one
 * command: kernels and forms of products, the GPU tests, a model of the size of the one with 135 M parameters quantized (made by a seed,
 * in a temporary folder), and QuantEase as published in PyTorch on linears of the same shapes. Each part writes FOLDER/report.json and
 * report.md anew, so that parts can be run one by one; none takes longer than `--minutes`. `--software` takes lavapipe, to try the
 * command without a GPU.
 *
 * `--pack FILE.tar.xz` writes everything that these parts need on another Linux machine of the same processor, without packages, network or
 * Node; without the tests it is much smaller:
 *
 *     tar xf FILE.tar.xz && cd quantease-workbench && ./node e2e/bench/gpu-machine.mjs
 *
 * Plain Node without packages, like setup.mjs.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, totalmem, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { lavapipe, unpackAdapters } from '../../src/adapters.mjs'
import { bundled, shortSelection } from '../../src/setup.mjs'
import { shapesOf, smollm, writeModel } from './gpu-machine/model.mjs'
import { pack } from './gpu-machine/pack.mjs'
import { readable } from './gpu-machine/report.mjs'
import { adapterOf, findVulkan } from './gpu-machine/vulkan.mjs'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'gpu-machine' },
    only: { type: 'string', default: 'bench,tests,quantize,published' },
    blocks: { type: 'string', default: '30' },
    samples: { type: 'string', default: '32' },
    tests: { type: 'string', default: 'short' },
    shard: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    minutes: { type: 'string', default: '9' },
    python: { type: 'string', default: 'python3' },
    software: { type: 'boolean', default: false },
    pack: { type: 'string' },
  },
})
const out = resolve(values.out)
const blocks = Number(values.blocks)
const limit = 60_000 * Number(values.minutes)
/** Tokens of a calibration window. */
const LENGTH = 512

/** What a part runs, with the GPU's environment; its words go to the terminal and to FOLDER/NAME.log. */
function ran(name, program, args, env) {
  const began = Date.now()
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    timeout: limit,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  writeFileSync(join(out, `${name}.log`), `${stdout}\n${stderr}`)
  const late = error?.code === 'ETIMEDOUT'
  const trouble = late
    ? `It took longer than ${values.minutes} minutes.`
    : (error?.message ?? (status ? lastLines(stderr || stdout) : null))
  return { stdout, seconds: (Date.now() - began) / 1000, trouble }
}

const lastLines = (text) => text.trim().split('\n').slice(-6).join('\n')
const node = (name, args, env) => ran(name, process.execPath, args, env)

const parts = {
  /** Kernels of the benchmark in Node, and all forms of products. */
  async bench({ env, software }) {
    const figures = join(out, 'bench.json')
    const sizes = software ? '256,512' : '256,512,1024,2048'
    const rounds = software ? '2' : values.rounds
    rmSync(figures, { force: true })
    const bundle = await bundled('e2e/bench/node.ts')
    const { stdout, trouble, seconds } = node('bench', [bundle, '--json', figures, '--sizes', sizes, '--rounds', rounds], env)
    return { seconds, trouble, text: stdout, figures: existsSync(figures) ? JSON.parse(readFileSync(figures, 'utf8')) : null }
  },

  async tests({ env, software }) {
    const vitest = 'node_modules/vitest/vitest.mjs'
    if (!existsSync(join(root, vitest))) return { trouble: 'vitest is not here.' }
    const some = values.tests === 'all' ? [] : shortSelection
    const args = [vitest, 'run', '--project', 'gpu', ...some, ...(values.shard ? [`--shard=${values.shard}`] : [])]
    const { stdout, trouble, seconds } = node('tests', args, { ...env, NO_COLOR: '1', QUANTEASE_ADAPTER: software ? 'lavapipe' : 'gpu' })
    const counts = stdout.trim().split('\n').at(-1)
    const failed = [...stdout.matchAll(/^.*FAIL.*$/gm)].map(([line]) => line.trim())
    return {
      seconds,
      trouble: /\d+ passed/.test(counts) && !failed.length ? null : (trouble ?? counts),
      counts,
      failed: [...new Set(failed)],
    }
  },

  /** Solving, and the model measured as it is with inputs of either kind. */
  async quantize({ env, adapter, software }) {
    const folder = mkdtempSync(join(tmpdir(), 'gpu-machine-'))
    try {
      writeModel(folder, { ...smollm, blocks }, join(root, 'public/demo'))
      const bundle = await bundled('src/cli.ts')
      const text = (name) => join(root, 'public/demo', `${name}.txt`)
      const texts = ['--model', folder, '--dataset', text('calibration'), '--eval', text('evaluation'), '--seqlen', `${LENGTH}`, '--json']
      const common = [...texts, '--eval-samples', software ? '2' : '64']
      const method = [
        '--quantization-method',
        'quantease',
        '--wbits',
        '3',
        '--true-sequential',
        '--report',
        join(out, 'quantize.report.json'),
      ]
      rmSync(join(out, 'quantize.report.json'), { force: true })
      const { trouble, seconds, stdout } = node('quantize', [bundle, ...common, '--nsamples', values.samples, ...method], env)
      const measured = {}
      for (const products of trouble ? [] : adapter.f16 ? ['f32', 'f16'] : ['f32']) {
        const one = node(`measure-${products}`, [bundle, ...common, '--wbits', '16', '--products', products], env)
        measured[products] = one.trouble ? { trouble: one.trouble } : pick(JSON.parse(one.stdout), ['seconds', 'fp_perplexity', 'products'])
      }
      return { trouble, seconds, blocks, measured, result: trouble ? null : resultOf(JSON.parse(stdout)) }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },

  async published({ software }) {
    const shapes = shapesOf(smollm).map(([q, p]) => `${q}x${p}`)
    const args = [
      'e2e/bench/published.py',
      '--device',
      software ? 'cpu' : 'cuda',
      '--shapes',
      (software ? shapes.slice(0, 1) : shapes).join(','),
    ]
    const { stdout, trouble, seconds } = ran('published', values.python, args, software ? { OMP_NUM_THREADS: '1' } : {})
    return { trouble, seconds, ...(trouble ? {} : JSON.parse(stdout)) }
  },
}

const pick = (from, keys) => Object.fromEntries(keys.filter((key) => key in from).map((key) => [key, from[key]]))

/** Of a run: its figures, and the seconds that a linear of each shape took to be solved. */
function resultOf(result) {
  const { layers } = result
  const all = JSON.parse(readFileSync(join(out, 'quantize.report.json'), 'utf8')).runs[0].layers
  const solved = shapesOf(smollm).map((shape) => {
    const seconds = all.filter((layer) => String(layer.shape) === String(shape)).map((layer) => layer.seconds)
    return { shape, count: seconds.length, seconds: seconds.sort((a, b) => a - b)[seconds.length >> 1] ?? null }
  })
  return { ...pick(result, ['seconds', 'fp_perplexity', 'perplexity', 'kl', 'mean_relative_error']), linears: layers.length, solved }
}

function prepare() {
  if (values.software) {
    const missing = unpackAdapters()
    if (missing) throw new Error(`There is no lavapipe here: ${missing}`)
    const env = { ...lavapipe(), QUANTEASE_SOFTWARE: '1' }
    return { env, adapter: adapterOf(root, env), software: true }
  }
  const { env, adapter, tried } = findVulkan(root)
  if (adapter) return { env, adapter, software: false }
  throw new Error(
    `No GPU adapter was found. Tried: ${tried.join('; ')}.
A driver for Vulkan is needed (of NVIDIA: nvidia_icd.json in an icd.d folder), and its loader, libvulkan.so.1: from the package libvulkan1
of Debian or Ubuntu (apt-get install libvulkan1; or apt-get download libvulkan1 && dpkg-deb -x libvulkan1*.deb .vulkan, which needs no
root), or any copy of it in a folder .vulkan here. With --software, the command is tried on lavapipe.`,
  )
}

async function main() {
  if (values.pack)
    return pack(root, values.pack, [await bundled('src/cli.ts'), await bundled('e2e/bench/node.ts')], values.only.includes('tests'))
  mkdirSync(out, { recursive: true })
  const machine = prepare()
  const file = join(out, 'report.json')
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const report = {
    ...before,
    machine: {
      adapter: machine.adapter,
      software: machine.software,
      cores: cpus().length,
      processor: cpus()[0]?.model,
      memory: totalmem(),
    },
  }
  for (const name of values.only.split(',')) {
    if (!parts[name]) throw new Error(`There is no part “${name}”: ${Object.keys(parts).join(', ')}.`)
    console.error(`${name} …`)
    report[name] = { at: new Date().toISOString(), ...(await parts[name](machine)) }
    writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`)
    writeFileSync(join(out, 'report.md'), readable(report))
    console.error(report[name].trouble ?? `${name}: ${report[name].seconds.toFixed(0)} s`)
  }
  process.stdout.write(readable(report))
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
