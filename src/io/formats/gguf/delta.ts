/** Gated delta nets in llama.cpp's terms: heads of values in another order, decays as factors, and the metadata (conversion/qwen.py of v0.5.0). */
import type { DeltaFacts } from '../model.ts'
import type { RowOrder } from './blocks.ts'
import type { MetaValue } from './file.ts'

/** How a part stands in the file; as it is where nothing is said (`Target`). */
interface Special {
  order?: RowOrder | null
  columns?: RowOrder | null
  floats?: boolean
  decay?: boolean
}

/**
 * What is special about a part of such a block. Heads of values that share one of keys lie behind each other in the model, v0 v1 of key 0, v0 v1
 * of key 1; here the first of every key comes first, so that keys are repeated as a whole.
 */
export function deltaTarget({ keyHeads, heads, dk, dv }: DeltaFacts, part: string): Special | null {
  const each = heads / keyHeads
  const from = (head: number) => (head % keyHeads) * each + Math.floor(head / keyHeads)
  const wide: RowOrder | null = each === 1 ? null : { band: dv, from: (row) => from(Math.floor(row / dv)) * dv + (row % dv) }
  const single: RowOrder | null = each === 1 ? null : { band: 1, from }
  const keys = 2 * keyHeads * dk
  const mixed = wide && { band: dv, from: (row: number) => (row < keys ? row : keys + wide.from(row - keys)) }
  switch (part) {
    case 'linear_attn.in_proj_qkv.weight':
      return { order: mixed }
    case 'linear_attn.conv1d.weight':
      return { order: mixed, floats: true }
    case 'linear_attn.in_proj_z.weight':
      return { order: wide }
    case 'linear_attn.in_proj_a.weight':
    case 'linear_attn.in_proj_b.weight':
    case 'linear_attn.dt_bias':
      return { order: single }
    case 'linear_attn.A_log':
      return { order: single, decay: true }
    case 'linear_attn.out_proj.weight':
      return { columns: wide }
    default:
      return null
  }
}

export function deltaMetadata({ recalls, keyHeads, heads, dk, dv, sections }: DeltaFacts): [string, MetaValue][] {
  const u32 = (value: number): MetaValue => ({ type: 'u32', value })
  return [
    ['ssm.conv_kernel', u32(4)],
    ['ssm.state_size', u32(dk)],
    ['ssm.group_count', u32(keyHeads)],
    ['ssm.time_step_rank', u32(heads)],
    ['ssm.inner_size', u32(heads * dv)],
    ['attention.recurrent_layers', { type: 'list', of: 'bool', value: recalls.map(Number) }],
    // Older versions read only this.
    ['full_attention_interval', u32(recalls.indexOf(false) + 1)],
    ['rope.dimension_sections', { type: 'list', of: 'i32', value: [...sections, 0] }],
  ]
}
