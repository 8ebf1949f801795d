/**
 * Per-layer embeddings: at the end of every block, a token says something of its own.
 *   y = y + norm((gelu(y Wgate) ⊙ e) Wproj),   e = (norm(x P) + √width · table[token]) / √2
 * with x the embedding of the token. So e depends on the token alone (token-inputs.ts makes it).
 */
import { activate, add, multiply, rmsnorm } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { BlockLayout, OuterTensor, PerLayer } from './family.ts'
import type { Scope } from './scope.ts'

const gate = 'per_layer_input_gate'
const projection = 'per_layer_projection'
const norm = 'post_per_layer_input_norm'

/** What a block has for it. Two small matrices, some hundredths of a block, through which all of it passes. */
export function perLayerLayout(width: number, hidden: number): Required<Pick<BlockLayout, 'kept' | 'vectors'>> {
  return {
    kept: [
      { name: `${gate}.weight`, shape: [width, hidden], linear: true, duty: 'gate of what tokens say' },
      { name: `${projection}.weight`, shape: [hidden, width], linear: true, duty: 'projection of what tokens say' },
    ],
    vectors: [{ name: `${norm}.weight`, length: hidden }],
  }
}

/** What a model has for it outside the blocks. */
export function perLayerParts(sizes: { width: number; vocab: number; blocks: number; hidden: number; eps: number }) {
  const { hidden, ...others } = sizes
  const { width, blocks } = sizes
  const [projection, norm] = ['per_layer_model_projection.weight', 'per_layer_projection_norm.weight']
  const perLayer: PerLayer = { table: 'embed_tokens_per_layer.weight', projection, norm, ...others }
  const outer: OuterTensor[] = [
    { name: projection, shape: [blocks * width, hidden], linear: true },
    { name: norm, shape: [width] },
  ]
  return { perLayer, outer }
}

/** Adds to `y` `[tokens, hidden]` what its tokens say to the block; `said` `[tokens, width]`. */
export function addSaid(scope: Scope, y: Tensor, said: Float32Array<ArrayBuffer> | undefined, eps: number): void {
  const { gpu } = scope
  const gated = scope.linear(y, gate)
  if (said?.length !== gated.size) throw new Error('A block is not told its tokens.')
  activate(gpu, 'gelu_tanh', gated)
  const factors = scope.keep(gpu.upload(said, gated.shape))
  multiply(gpu, gated, factors)
  const out = scope.linear(gated, projection)
  const normed = scope.keep(rmsnorm(gpu, out, scope.weight(`${norm}.weight`), eps))
  add(gpu, y, normed)
  scope.drop(gated, factors, out, normed)
}
