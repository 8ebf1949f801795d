/** The interface of a kernel's float64 twin. */
import type { Params } from '../device.ts'

export type Values = Float64Array<ArrayBuffer>
export type Tensors = Record<string, Values>
/** `depth`: workgroups along z, which count the products of a batch. */
export type Kernel = (tensors: Tensors, params: Params, call: { constants: Record<string, number>; depth: number }) => void
