/** A GGUF checkpoint in llama.cpp, compiled to WebAssembly, in a worker of this page. A chunk of its own, loaded when asked for. */
import { Wllama } from '@wllama/wllama'
import type { Recital } from './recital.ts'
import { WorkbenchError } from '../errors.ts'
import wasm from '@wllama/wllama/esm/wasm/wllama.wasm?url'

/** Tokens that a prompt and its answer take at most. */
const context = 2048
const silent = { debug: () => {}, log: () => {}, warn: () => {}, error: () => {} }

export interface Speech {
  text: string
  tokens: number
  perSecond: number
}

export class Llama {
  #stop: AbortController | null = null

  private constructor(
    readonly wllama: Wllama,
    /** The file has a chat template. */
    readonly chats: boolean,
  ) {}

  /**
   * `gpu`: its own WebGPU kernels; otherwise the processor computes.
   * @throws {WorkbenchError} `chat-unsupported` where the browser cannot run it
   */
  static async open(files: Blob[], gpu: boolean): Promise<Llama> {
    if (!hasMemory64())
      throw new WorkbenchError(
        'chat-unsupported',
        'This browser cannot run llama.cpp: it lacks WebAssembly with 64-bit memory.',
        'Use Chrome or Edge 133, or Firefox 134, or a newer one.',
      )
    const wllama = new Wllama({ default: new URL(wasm, document.baseURI).href }, { logger: silent, suppressNativeLog: true })
    // Otherwise other browsers would fetch a build from elsewhere.
    wllama.setCompat(null)
    try {
      await wllama.loadModel(files, { n_ctx: context, n_gpu_layers: gpu ? 999 : 0, warmup: false })
      return new Llama(wllama, wllama.getChatTemplate() !== null)
    } catch (thrown) {
      await wllama.exit().catch(() => {})
      throw thrown
    }
  }

  /** Says on after a prompt, or answers it where the model has a chat template; `hear` gets the whole text so far. */
  async speak(prompt: string, most: number, hear: (speech: Speech) => void): Promise<Speech> {
    this.#stop = new AbortController()
    const shared = { max_tokens: most, temperature: 0, stream: true as const, abortSignal: this.#stop.signal }
    const started = performance.now()
    let speech: Speech = { text: '', tokens: 0, perSecond: 0 }
    const add = (piece: string, rate: number | undefined) => {
      const tokens = speech.tokens + 1
      speech = { text: speech.text + piece, tokens, perSecond: rate ?? tokens / ((performance.now() - started) / 1000) }
      hear(speech)
    }
    try {
      if (this.chats) {
        const stream = await this.wllama.createChatCompletion({ messages: [{ role: 'user', content: prompt }], ...shared })
        for await (const { choices, timings } of stream) {
          const piece = choices[0]?.delta.content
          if (piece) add(piece, timings?.predicted_per_second)
        }
      } else {
        const stream = await this.wllama.createCompletion({ prompt, ...shared })
        for await (const { choices, timings } of stream) if (choices[0]?.text) add(choices[0].text, timings?.predicted_per_second)
      }
    } catch (thrown) {
      if (!this.#stop.signal.aborted) throw thrown
    }
    return speech
  }

  /** The most likely tokens after a prompt, one by one, as ids. */
  async recite(prompt: string, count: number): Promise<Recital> {
    const answer: unknown = await this.wllama.createCompletion({ prompt, max_tokens: count, temperature: 0, logprobs: 1 })
    return readRecital(answer)
  }

  stop() {
    this.#stop?.abort()
  }

  close(): Promise<void> {
    return this.wllama.exit()
  }
}

/** Whether llama.cpp's WebGPU kernels can run: they wait for the GPU in the middle of a call. */
export const canUseGpu = () => 'Suspending' in WebAssembly

function hasMemory64(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 1n, address: 'i64' } as unknown as WebAssembly.MemoryDescriptor) !== null
  } catch {
    return false
  }
}

/** The server's answer holds ids, which the package's types do not tell of. */
function readRecital(answer: unknown): Recital {
  const { choices, usage } = answer as {
    choices: { logprobs: { content: { id: number }[] } }[]
    usage: { prompt_tokens: number }
  }
  return { prompt: usage.prompt_tokens, said: choices[0].logprobs.content.map(({ id }) => id) }
}
