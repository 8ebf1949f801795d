// Invocations of a workgroup, along a row of C and down; another shape of a form of products takes its place (src/gpu/ops/gemm-forms.ts).
const ACROSS = 8u;
const DOWN = 8u;
