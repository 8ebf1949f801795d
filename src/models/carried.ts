/**
 * Keys and values that later blocks use again. They travel behind the hidden columns of the state, so that whoever carries states from
 * block to block (or keeps them) need not know: `[tokens, hidden | keys, values of windows | keys, values of all]`.
 */
import type { Device } from '../gpu/device.ts'
import { copyColumns } from '../gpu/ops.ts'
import type { Tensor } from '../gpu/tensor.ts'
import type { Architecture } from './architecture.ts'
import { ownOf } from './llama-layouts.ts'

/** The last block before the shared ones whose attention reaches as far as that of block `index`. */
const sourceOf = ({ spans, sharing }: Architecture, index: number) => spans.slice(0, sharing!.from).lastIndexOf(spans[index])

/** The columns of blocks that reach equally far. */
interface Columns {
  /** Block that they come from. */
  source: number
  at: number
  /** Of keys, and of values. */
  width: number
}

/** The state on its way through a block, and the columns that the block writes or reads, if it does. */
export interface Shared {
  state: Tensor
  columns?: Columns
}

function allColumns(model: Architecture): Columns[] {
  const { sharing, spans, hidden } = model
  if (!sharing) return []
  let at = hidden
  return [...new Set(spans.slice(sharing.from).map((_, i) => sourceOf(model, sharing.from + i)))].map((source) => {
    const { kvHeads, d } = ownOf(model, source)
    const place = { source, at, width: kvHeads * d }
    at += 2 * place.width
    return place
  })
}

/** Columns behind the hidden ones. */
export const carriedColumns = (model: Architecture) => allColumns(model).reduce((sum, { width }) => sum + 2 * width, 0)

/** `state`: the input of block `index`, which becomes its output. */
export function sharedAt(model: Architecture, index: number, state: Tensor): Shared {
  const borrows = model.sharing && index >= model.sharing.from
  const source = borrows ? sourceOf(model, index) : index
  return { state, columns: allColumns(model).find((one) => one.source === source) }
}

/** Puts the keys and values of a block into the state, where later blocks need them. */
export function carry(gpu: Device, { state, columns }: Shared, keys: Tensor, values: Tensor): void {
  if (!columns) return
  const { at, width } = columns
  copyColumns(gpu, keys, 0, state, at, width)
  copyColumns(gpu, values, 0, state, at + width, width)
}

/** The keys and values that a block borrows. */
export function borrowed(gpu: Device, { state, columns }: Shared): [keys: Tensor, values: Tensor] {
  const { at, width } = columns!
  return [at, at + width].map((from) => columnsOf(gpu, state, from, width)) as [Tensor, Tensor]
}

/** `count` columns of x by themselves. */
export function columnsOf(gpu: Device, x: Tensor, from: number, count: number): Tensor {
  const part = gpu.empty([x.rows, count])
  copyColumns(gpu, x, from, part, 0, count)
  return part
}

/** Takes over hidden states, and makes room behind them. */
export function widened(gpu: Device, x: Tensor, carried: number): Tensor {
  if (!carried) return x
  const state = gpu.zeros([x.rows, x.cols + carried])
  copyColumns(gpu, x, 0, state, 0, x.cols)
  x.dispose()
  return state
}
