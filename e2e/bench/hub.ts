/**
 * Benchmark of reading a model's blocks from a slow Hub: a checkpoint in the layout that save_pretrained writes, on a Hub of this machine
 * that waits before each answer and sends each body at a bounded rate. The blocks are read as the engine reads them. `--against FOLDER`
 * names another checkout, which reads the same in alternating rounds.
 */
import { resolve } from 'node:path'
import { runnerImport } from 'vite'
import { startHub } from '../hub/server.ts'
import { syntheticCheckpoint } from '../hub/synthetic.ts'
import { median, ratio } from './measure.ts'
import { head, keep, row } from './report.ts'

/** About the width of a model of one billion parameters, in float32: 194 MiB a block. */
const shape = { blocks: 3, hidden: 2048, ffn: 5504, heads: 16, vocab: 1024, shards: 2 }
/** Bytes per second of a connection, as of storage behind a good line. */
const rate = 40e6
const latencies = [50, 150]
/** Bytes that the loader reads at a time. */
const step = 8 << 20
const read = ['q', 'k', 'v', 'o'].map((name) => `self_attn.${name}_proj`).concat(['gate', 'up', 'down'].map((name) => `mlp.${name}_proj`))
const blockTensors = (k: number) =>
  ['input_layernorm', 'post_attention_layernorm', ...read].map((name) => `model.layers.${k}.${name}.weight`)

interface Code {
  openHub: typeof import('../../src/io/hub/hub.ts').openHub
  open: typeof import('../../src/io/safetensors.ts').openCheckpoint
  further: 0 | 1
}

async function codeOf(root: string, further: 0 | 1): Promise<Code> {
  const load = async (file: string) =>
    (await runnerImport<Record<string, unknown>>(resolve(root, file), { root, configFile: false })).module
  const [{ openHub }, { openCheckpoint }] = [await load('src/io/hub/hub.ts'), await load('src/io/safetensors.ts')]
  return { openHub, open: openCheckpoint, further } as Code
}

/** MiB per second over all blocks but the first, which nothing could be ahead of. `further`: blocks announced beside the one that is read. */
async function rateOf({ openHub, open, further }: Code, url: string): Promise<number> {
  const hub = openHub({ url })
  const repo = { type: 'model', name: 'synthetic/blocks' } as const
  const { sha } = await hub.facts(repo, 'main')
  const listed = await hub.list(repo, sha, { recursive: false })
  const checkpoint = await open(hub.files(repo, sha, listed))
  let bytes = 0
  let start = 0
  for (let k = 0; k < shape.blocks; k++) {
    if (k === 1) start = performance.now()
    checkpoint.ahead([...blockTensors(k), ...(k + further < shape.blocks && further ? blockTensors(k + 1) : [])])
    for (const name of blockTensors(k)) {
      const size = checkpoint.tensors.get(name)!.bytes
      for (let at = 0; at < size; at += step) await checkpoint.readRange(name, at, Math.min(size, at + step))
      if (k) bytes += size
    }
  }
  return bytes / 2 ** 20 / ((performance.now() - start) / 1000)
}

/** Prints a table: by latency, the rate of this build, and of the other one where there is one. */
export async function reportHub(rounds: number, against: string | undefined): Promise<{ latency: number; rates: number[][] }[]> {
  // Builds of before announced one block at a time, after the one before it was read.
  const builds = [await codeOf('.', 1), ...(against ? [await codeOf(resolve(against), 0)] : [])]
  const figures = []
  head(`blocks from a Hub, ${rate / 1e6} MB/s a connection`, ...['this build', 'the other', 'ratio'].slice(0, against ? 3 : 1))
  for (const latency of latencies) {
    const contents = syntheticCheckpoint(shape, new Map())
    const server = await startHub({ repos: [{ name: 'synthetic/blocks', revisions: { main: contents } }], network: { latency, rate } })
    const rates: number[][] = builds.map(() => [])
    for (let round = 0; round < rounds; round++) for (const [i, build] of builds.entries()) rates[i].push(await rateOf(build, server.url))
    await server.close()
    const cells = rates.map((one) => `${median(one).toFixed(0)} MiB/s`)
    if (against) cells.push(`${ratio(rates[0], rates[1]).toFixed(2)}×`)
    row(`${latency} ms away`, ...cells)
    figures.push({ latency, rates })
  }
  await keep('reading from a Hub')
  return figures
}
