/**
 * What tokens say to the blocks of a model with per-layer embeddings. It depends on the token alone (per-layer.ts), so it is made once for
 * each different token of all texts, and stays on the host until a block asks for it.
 */
import type { Device } from '../gpu/device.ts'
import { add, embed, matmul, type Panels, rmsnorm, scale } from '../gpu/ops.ts'
import type { BlockWeights, PerLayer, Windows } from './family.ts'
import { disposePanels, loadSome } from './weights.ts'
import type { OpenModel } from './open.ts'

/** Rows of the table that are read at once although nobody asked for those between. */
const BRIDGE_BYTES = 2 ** 20
const PIECE_BYTES = 32 * 2 ** 20
/** Tokens at a time. */
const TOKENS = 256

/** By token. */
export class TokenInputs {
  readonly #known = new Map<number, Float32Array>()

  private constructor(
    readonly gpu: Device,
    readonly opened: OpenModel,
    readonly sizes: PerLayer,
  ) {}

  /** null for models without per-layer embeddings. */
  static of(gpu: Device, opened: OpenModel): TokenInputs | null {
    const { perLayer } = opened.model
    return perLayer ? new TokenInputs(gpu, opened, perLayer) : null
  }

  /** Makes what is not known of these tokens; `outer` and `embedding` are the model's. @throws WorkbenchError `weights-not-finite` */
  async learn(ids: Iterable<number>, outer: BlockWeights, embedding: Panels): Promise<void> {
    const { blocks, width, table } = this.sizes
    const cols = blocks * width
    const fresh = Uint32Array.from(new Set(ids))
      .filter((id) => !this.#known.has(id))
      .sort()
    const name = `${this.opened.prefix}${table}`
    const { gpu } = this
    for (const some of this.#pieces(fresh)) {
      const [first, last] = [some[0], some.at(-1)!]
      const panels = await loadSome(gpu, this.opened, name, { first, rows: last - first + 1, cols })
      const step = Math.max(1, Math.min(TOKENS, Math.floor(gpu.info.maxBinding / (4 * cols))))
      for (let at = 0; at < some.length; at += step) await this.#make(some.slice(at, at + step), outer, embedding, panels)
      disposePanels(panels)
    }
  }

  /** What is asked for at once: tokens that are near each other in the table. */
  *#pieces(ids: Uint32Array<ArrayBuffer>): Generator<Uint32Array<ArrayBuffer>> {
    const rowBytes = 4 * this.sizes.blocks * this.sizes.width
    const bridge = Math.max(1, BRIDGE_BYTES / rowBytes)
    const most = Math.max(1, Math.min(PIECE_BYTES, this.gpu.info.maxBinding) / rowBytes)
    let from = 0
    for (let i = 1; i <= ids.length; i++) {
      if (i < ids.length && ids[i] - ids[i - 1] <= bridge && ids[i] - ids[from] < most) continue
      yield ids.slice(from, i)
      from = i
    }
  }

  async #make(ids: Uint32Array<ArrayBuffer>, outer: BlockWeights, embedding: Panels, table: Panels): Promise<void> {
    const { gpu, sizes } = this
    const { blocks, width } = sizes
    const x = embed(gpu, embedding, ids)
    const mixed = matmul(gpu, x, outer.get(sizes.projection)!)
    const heads = [ids.length * blocks, width]
    // The embedding's √hidden and the projection's 1/√hidden cancel out.
    const said = rmsnorm(gpu, mixed.view(heads), outer.get(sizes.norm)!, sizes.eps)
    const own = embed(gpu, table, ids)
    const factors = [Math.sqrt(width), Math.SQRT1_2].map((factor) => gpu.upload(new Float32Array(width).fill(factor), [width]))
    scale(gpu, own.view(heads), { cols: factors[0] })
    add(gpu, said, own.view(heads))
    scale(gpu, said, { cols: factors[1] })
    const values = (await gpu.read(said)) as Float32Array<ArrayBuffer>
    for (const tensor of [x, mixed, said, own, ...factors]) tensor.dispose()
    gpu.host.hold('what tokens say to blocks', 4 * ids.length * blocks * width)
    ids.forEach((id, i) => this.#known.set(id, values.subarray(i * blocks * width, (i + 1) * blocks * width)))
    await gpu.pace()
  }

  /** What these tokens say, block by block: `[ids, width]`. They have to be learned by then. */
  of(ids: Uint32Array): (k: number) => Float32Array<ArrayBuffer> {
    const { width } = this.sizes
    return (k) => {
      const said = new Float32Array(ids.length * width)
      if (!this.gpu.computes) return said
      ids.forEach((id, i) => said.set(this.#known.get(id)!.subarray(k * width, (k + 1) * width), i * width))
      return said
    }
  }
}

/** What these tokens say to the blocks, for `Windows`; nothing for models whose tokens say nothing. */
export async function inputsOf(
  gpu: Device,
  opened: OpenModel,
  ids: Uint32Array,
  outer: BlockWeights,
  embedding: Panels,
): Promise<Pick<Windows, 'inputs'>> {
  const all = TokenInputs.of(gpu, opened)
  await all?.learn(ids, outer, embedding)
  return all ? { inputs: all.of(ids) } : {}
}
