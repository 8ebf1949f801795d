/**
 * Operations on tensors: each picks a kernel and a grid. Activations are `[tokens, features]`, weights of linears lie
 * input-major `[in, out]` (so y = x · W is a plain product), the embedding and head `[vocabulary, features]`.
 */
export * from './ops/attention.ts'
export * from './ops/delta.ts'
export * from './ops/elementwise.ts'
export * from './ops/gemm.ts'
export * from './ops/narrow.ts'
export * from './ops/rows.ts'
export * from './ops/stored.ts'
export * from './ops/sums.ts'
