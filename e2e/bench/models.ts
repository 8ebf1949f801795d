/**
 * The part `models` of `npm run bench -- --against FOLDER`: a model of two wide blocks quantized by the command line of this build and by
 * that of another checkout, method by method in alternating rounds. Memory is that of all GPU buffers alive at once, counted where they
 * are made (buffers.mjs); on a software adapter time is that of the processor, whatever else the machine does.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { writeModel } from './gpu-machine/model.mjs'
import { median, ratio } from './measure.ts'
import { head, keep, row } from './report.ts'

const extents = { blocks: 2, hidden: 2048, ffn: 2048, heads: 16, kvHeads: 16, vocab: 4096 }
const samples = ['--nsamples', '4', '--seqlen', '128', '--eval-samples', '1', '--wbits', '3', '--num-layers-to-quantize', '1']
/** Fewer sweeps of QuantEase than by default: they all cost the same. */
const methods = {
  RTN: ['rtn'],
  GPTQ: ['gptq'],
  QuantEase: ['quantease', '--num-iter', '4'],
  'QuantEase+': ['quantease_plus'],
  // Without the search for clipped ranges, which takes half as long again.
  AWQ: ['awq', '--no-clip'],
}

interface Measured {
  /** Bytes of GPU buffers. */
  peak: number
  seconds: number
}

/** Seconds of the processor that children of this process took which have ended, with theirs. */
function childrenSeconds(): number {
  const [, after] = readFileSync('/proc/self/stat', 'utf8').split(') ')
  const [user, system] = after.split(' ').slice(13, 15)
  return (Number(user) + Number(system)) / Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout)
}

function quantized(checkout: string, folder: string, method: string[]): Measured {
  const buffers = join(folder, 'buffers')
  const env = { NODE_OPTIONS: `--import ${pathToFileURL(resolve('e2e/bench/buffers.mjs')).href}`, BUFFERS_FILE: buffers }
  const text = (name: string) => resolve('public/demo', `${name}.txt`)
  const args = ['--model', folder, '--dataset', text('calibration'), '--eval', text('evaluation'), ...samples, '--json']
  const began = childrenSeconds()
  const done = spawnSync(process.execPath, ['src/setup.mjs', 'quantize', ...args, '--quantization-method', ...method], {
    cwd: checkout,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    env: { ...process.env, ...env },
  })
  if (done.status !== 0) throw new Error(`${checkout}, ${method}: ${done.stderr.split('\n').slice(-6).join('\n')}`)
  const processor = childrenSeconds() - began
  const { adapter, seconds } = JSON.parse(done.stdout)
  return { peak: Number(readFileSync(buffers, 'utf8')), seconds: /swiftshader|llvmpipe/i.test(adapter) ? processor : seconds }
}

/** Prints a table: by method, peak memory and time of both builds, and their ratios. */
export async function reportModels(rounds: number, against: string): Promise<Record<string, Measured[][]>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-models-'))
  const builds = ['.', resolve(against)]
  const figures: Record<string, Measured[][]> = {}
  try {
    writeModel(folder, extents, 'public/demo')
    // Bundles are made outside of the measurement.
    for (const build of builds) spawnSync(process.execPath, ['src/setup.mjs', 'quantize', '--help'], { cwd: build, stdio: 'ignore' })
    head('2 blocks of 2048, 3 bits', 'peak, this build', 'the build before', 'ratio', 'time, this build', 'the build before', 'ratio')
    for (const [label, method] of Object.entries(methods)) {
      const found: Measured[][] = builds.map(() => [])
      for (let round = 0; round < rounds; round++)
        for (const [i, build] of builds.entries()) found[i].push(quantized(build, folder, method))
      figures[label] = found
      const of = (pick: keyof Measured) => found.map((one) => one.map((measured) => measured[pick]))
      const [peaks, times] = [of('peak'), of('seconds')]
      row(
        label,
        ...peaks.map((one) => `${(median(one) / 2 ** 20).toFixed(0)} MiB`),
        `${ratio(peaks[0], peaks[1]).toFixed(2)}×`,
        ...times.map((one) => `${median(one).toFixed(0)} s`),
        `${ratio(times[0], times[1]).toFixed(2)}×`,
      )
    }
    await keep('models beside the build before')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return figures
}
