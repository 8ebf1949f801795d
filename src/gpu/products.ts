/** How linears of a forward pass, and the head, take their inputs: as they are, or rounded row by row (ops/narrow.ts). Sums are in f32. */
export type Products = 'f32' | 'f16'
