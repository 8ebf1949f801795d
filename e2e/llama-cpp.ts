/**
 * llama.cpp itself, for tests: the addon of node-llama-cpp with its binaries as they come from npm, without the package around
 * it, whose other binaries for GPUs take hundreds of megabytes.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/** What is used of the addon (`AddonTypes.d.ts` of node-llama-cpp). */
interface Addon {
  setLogger(logger: (level: number, message: string) => void): void
  setLoggerLogLevel(level: number): void
  loadBackends(path?: string): void
  init(): Promise<void>
  systemInfo(): string
  AddonModel: new (path: string, params: object) => AddonModel
  AddonContext: new (model: AddonModel, params: object) => AddonContext
  AddonSampler: new (model: AddonModel) => object & { applyConfig(config: object): void; dispose(): void }
}

interface AddonModel {
  init(): Promise<boolean>
  dispose(): Promise<void>
  tokenize(text: string, specialTokens: boolean): Uint32Array
  getModelDescription(): string
  shouldPrependBosToken(): boolean
  tokenBos(): number
  tokenEos(): number
}

interface AddonContext {
  init(): Promise<boolean>
  dispose(): Promise<void>
  initBatch(size: number): void
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logits: Uint32Array): Uint32Array
  decodeBatch(): Promise<void>
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean
  sampleToken(index: number, sampler: object, probabilities: true): Promise<[token: number, probabilities: (number | undefined)[]]>
}

const folder = join('node_modules', '@node-llama-cpp')

/** The binaries of this machine. */
function binaries(): string {
  const platform = { linux: 'linux', darwin: 'mac', win32: 'win' }[process.platform as string]
  const name = [`${platform}-${process.arch}`, `${platform}-${process.arch}-metal`].find((one) => existsSync(join(folder, one)))
  if (!name)
    throw new Error(
      `npm installed no llama.cpp for ${process.platform} ${process.arch}: node-llama-cpp has none, or optional packages were left out.`,
    )
  return join(process.cwd(), folder, name, 'bins', readdirSync(join(folder, name, 'bins'))[0])
}

/** Path of one of llama.cpp's libraries, as "ggml-base". */
export function llamaLibrary(name: string): string {
  const found = readdirSync(binaries()).find((file) => file.startsWith(`lib${name}.`) || file === `${name}.dll`)
  if (!found) throw new Error(`llama.cpp has no library ${name} here.`)
  return join(binaries(), found)
}

let loaded: Promise<{ addon: Addon; build: string }> | null = null

/** llama.cpp, loaded once a process. What it complains of is kept for the message of the next failure. */
export function llamaCpp(): Promise<{ addon: Addon; build: string }> {
  loaded ??= (async () => {
    const path = binaries()
    const addon = createRequire(import.meta.url)(join(path, 'llama-addon.node')) as Addon
    addon.setLogger((_, message) => said.push(message.trim()))
    addon.setLoggerLogLevel(3)
    addon.loadBackends()
    addon.loadBackends(path)
    await addon.init()
    const { llamaCpp: built } = JSON.parse(readFileSync(join(path, '_nlcBuildMetadata.json'), 'utf8')).buildOptions
    return { addon, build: `llama.cpp ${built.release} (${addon.systemInfo().trim()})` }
  })()
  return loaded
}

const said: string[] = []

/** A GGUF file as llama.cpp has it. */
export class LlamaModel {
  private constructor(
    readonly addon: Addon,
    readonly model: AddonModel,
  ) {}

  /** `vocabOnly`: its tokenizer alone. @throws {Error} with llama.cpp's own words when it does not load */
  static async open(path: string, { vocabOnly = false } = {}): Promise<LlamaModel> {
    const { addon } = await llamaCpp()
    said.length = 0
    const model = new addon.AddonModel(path, { addonExports: addon, gpuLayers: 0, useMmap: false, vocabOnly })
    if (!(await model.init().catch(() => false))) throw new Error(`llama.cpp does not load ${path}: ${said.join(' ')}`)
    return new LlamaModel(addon, model)
  }

  dispose(): Promise<void> {
    return this.model.dispose()
  }

  /** Ids of a text, with the tokens that the file asks for around it. `special`: texts of special tokens stand for them. */
  tokenize(text: string, special = false): number[] {
    const ids = [...this.model.tokenize(text, special)]
    return this.model.shouldPrependBosToken() ? [this.model.tokenBos(), ...ids] : ids
  }

  /** Probabilities `[vocab]` of the token behind each of `ids`, the whole sequence at once. */
  async probabilities(ids: ArrayLike<number>, vocab: number): Promise<Float32Array[]> {
    const positions = Array.from(ids, (_, i) => i)
    return this.#with(ids.length, async (context, sampler) => {
      context.initBatch(ids.length)
      const places = context.addToBatch(0, 0, Uint32Array.from(ids), Uint32Array.from(positions))
      await context.decodeBatch()
      const rows: Float32Array[] = []
      for (const place of places) rows.push(spread((await context.sampleToken(place, sampler, true))[1], vocab))
      return rows
    })
  }

  /** The likeliest token, again and again. */
  async greedy(prompt: readonly number[], count: number): Promise<number[]> {
    return this.#with(prompt.length + count, async (context, sampler) => {
      const found: number[] = []
      let next: readonly number[] = prompt
      let at = 0
      while (found.length < count) {
        context.initBatch(next.length)
        const [place] = context.addToBatch(0, at, Uint32Array.from(next), Uint32Array.of(next.length - 1))
        await context.decodeBatch()
        at += next.length
        next = [(await context.sampleToken(place, sampler, true))[0]]
        found.push(next[0])
      }
      return found
    })
  }

  async #with<T>(size: number, work: (context: AddonContext, sampler: object) => Promise<T>): Promise<T> {
    const { addon, model } = this
    const contextSize = Math.max(256, size)
    const context = new addon.AddonContext(model, { contextSize, batchSize: contextSize, sequences: 1, flashAttention: false, threads: 1 })
    if (!(await context.init())) throw new Error(`llama.cpp makes no context: ${said.join(' ')}`)
    const sampler = new addon.AddonSampler(model)
    sampler.applyConfig({ temperature: 0 })
    try {
      return await work(context, sampler)
    } finally {
      sampler.dispose()
      await context.dispose()
    }
  }
}

/** Pairs of token and probability as a row. */
function spread(pairs: (number | undefined)[], vocab: number): Float32Array {
  const row = new Float32Array(vocab)
  for (let i = 0; i < pairs.length; i += 2) row[pairs[i]!] = pairs[i + 1] ?? 0
  return row
}
