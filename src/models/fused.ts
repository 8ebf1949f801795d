/**
 * The common part of BLOOM and Falcon: attention with one fused projection, whose rows contain, per key/value head, its query heads, the
 * key and the value.
 */
import { attention, rope, splitQkv } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import { type Before, type LinearShape, placesOf, type Windows } from './family.ts'
import { type RopeSettings, ropeTables, tableRows } from './rope.ts'
import type { Scope } from './scope.ts'

export const names = {
  qkv: 'self_attention.query_key_value',
  dense: 'self_attention.dense',
  up: 'mlp.dense_h_to_4h',
  down: 'mlp.dense_4h_to_h',
}

export interface FusedShape {
  hidden: number
  heads: number
  kvHeads: number
  d: number
  ffn: number
}

export function fusedLinears({ hidden, heads, kvHeads, d, ffn }: FusedShape): Record<keyof typeof names, LinearShape> {
  return {
    qkv: { name: names.qkv, q: (heads + 2 * kvHeads) * d, p: hidden, scoring: true },
    dense: { name: names.dense, q: hidden, p: hidden },
    up: { name: names.up, q: ffn, p: hidden },
    down: { name: names.down, q: hidden, p: ffn },
  }
}

/** The inputs of `dense` are the values, as long as every head has its own. */
export function beforeDense({ heads, kvHeads, d }: FusedShape): Before {
  if (kvHeads < heads) {
    return { kind: 'none', why: 'several query heads share one value head, whose projection cannot take over a scale for each' }
  }
  return { kind: 'linear', name: names.qkv, output: (j) => 3 * d * Math.floor(j / d) + 2 * d + (j % d) }
}

export const beforeDown: Before = { kind: 'none', why: 'GELU comes before it, which does not pass a scale on' }

/** Where the heads look: positions by rotation, or by a bias `[heads, t]` on the scores. */
export type Positions = { kind: 'rope'; settings: RopeSettings } | { kind: 'alibi'; table: (t: number) => Float32Array<ArrayBuffer> }

/** Attention over the fused projection of `x` `[tokens, hidden]`: `[tokens, heads · d]`, kept by the scope. */
export async function fusedAttention(
  scope: Scope,
  x: Tensor,
  { heads, kvHeads, d }: FusedShape,
  positions: Positions,
  at: Windows,
): Promise<Tensor> {
  const { gpu } = scope
  const fused = scope.linear(x, names.qkv)
  const [q, k, v] = splitQkv(gpu, fused, heads, kvHeads, d).map((part) => scope.keep(part))
  scope.drop(fused)
  const shape = { ...at, heads, kvHeads, d, span: Number.POSITIVE_INFINITY }
  const { t } = at
  const { from, room, whole } = placesOf(at)
  let mixed: Tensor
  if (positions.kind === 'rope') {
    const table = scope.keep(gpu.upload(tableRows(ropeTables(positions.settings, d, room, whole).keys, d, from, t), [t, d / 2, 2]))
    rope(gpu, q, table, heads, d, t)
    rope(gpu, k, table, kvHeads, d, t)
    scope.drop(table)
    mixed = scope.keep(await attention(gpu, q, k, v, shape))
  } else {
    const seen = Math.ceil((from + t) / 4) * 4
    const alibi = scope.keep(gpu.upload(positions.table(seen), [heads, seen]))
    mixed = scope.keep(await attention(gpu, q, k, v, { ...shape, alibi }))
    scope.drop(alibi)
  }
  scope.drop(q, k, v)
  return mixed
}
