/** Blocks that recall by a gated delta net instead of attending (ops/delta.ts): their tensors, and their pass. */
import { deltaWork, gatedDelta, shortConv } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { DeltaSizes } from './architecture.ts'
import type { Before, BlockLayout, LinearShape, Windows } from './family.ts'
import type { Scope } from './scope.ts'

const part = (name: string) => `linear_attn.${name}`

/** What the recurrence reads: inputs of the heads, and gates. */
export interface DeltaParts {
  qkv: Tensor
  z: Tensor
  a: Tensor
  b: Tensor
}

const widthOf = ({ keyHeads, heads, dk, dv }: DeltaSizes) => 2 * keyHeads * dk + heads * dv

/** The linears of both stages, and what stays in full precision. */
export function deltaLayout(
  sizes: DeltaSizes,
  hidden: number,
): { stages: LinearShape[][]; before: Before[] } & Omit<BlockLayout, 'stages' | 'before'> {
  const { heads, dv } = sizes
  const width = widthOf(sizes)
  const gate = (name: string, duty: string) => ({ name: part(`${name}.weight`), shape: [heads, hidden], linear: true, duty })
  return {
    stages: [
      [
        { name: part('in_proj_qkv'), q: width, p: hidden },
        { name: part('in_proj_z'), q: heads * dv, p: hidden },
      ],
      [{ name: part('out_proj'), q: hidden, p: heads * dv }],
    ],
    before: [
      { kind: 'none', why: 'gates that stay in full precision see the same norm' },
      { kind: 'none', why: 'all heads share the weights of the norm before it' },
    ],
    vectors: [
      { name: part('A_log'), length: heads, duty: 'decay' },
      { name: part('dt_bias'), length: heads, duty: 'decay' },
      { name: part('norm.weight'), length: dv },
    ],
    kept: [
      { name: part('conv1d.weight'), shape: [width, 1, 4], duty: 'convolution' },
      gate('in_proj_b', 'write gate'),
      gate('in_proj_a', 'decay gate'),
    ],
    mixing: (t) => deltaWork(sizes, t),
  }
}

/** What the recurrence reads of `x` `[tokens, hidden]`, kept by the scope. */
export function deltaParts(scope: Scope, x: Tensor, { t }: Windows): DeltaParts {
  const [fused, z, a, b] = ['in_proj_qkv', 'in_proj_z', 'in_proj_a', 'in_proj_b'].map((name) => scope.linear(x, part(name)))
  const qkv = scope.keep(shortConv(scope.gpu, fused, scope.weight(part('conv1d.weight')), t))
  scope.drop(fused)
  return { qkv, z, a, b }
}

/** What the heads recall, normed and gated: `[tokens, heads · dv]`, kept by the scope. Uses up its parts. */
export async function recall(
  scope: Scope,
  sizes: DeltaSizes,
  { qkv, z, a, b }: DeltaParts,
  windows: Windows,
  eps: number,
): Promise<Tensor> {
  const [decay, bias, norm] = ['A_log', 'dt_bias', 'norm.weight'].map((name) => scope.weight(part(name)))
  await gatedDelta(scope.gpu, { qkv, a, b }, z, { decay, bias, norm, eps }, { ...sizes, ...windows })
  scope.drop(qkv, a, b)
  return z
}

export const deltaOutput = part('out_proj')
