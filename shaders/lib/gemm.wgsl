// The common interface of the GEMM kernels; gemm_direct.wgsl explains the fields.
//#include lib/left
//#include lib/operand
override TA: bool = false;
override TB: bool = false;

struct Params {
  m: u32, n: u32, k: u32,
  lda: u32, ldb: u32, ldc: u32,
  a0: u32, b0: u32, c0: u32,
  a_outer: u32, a_inner: u32, b_outer: u32, b_inner: u32, c_outer: u32, c_inner: u32,
  inner: u32, share: u32,
  symmetric: u32,
  carried: u32,
  row0: u32,
  alpha: f32, beta: f32,
}

// Sums over k are made in blocks of so many terms: of one plain float32 sum, every term meets the rounding of all before it.
const BLOCK = 64u;

@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

// Where the matrices of one product of the batch begin, in elements of four.
struct Origin { a: u32, b: u32, c: u32 }

fn origin_of(z: u32) -> Origin {
  let outer = z / params.inner;
  let i = z % params.inner;
  let a = params.a0 + outer * params.a_outer + i * params.a_inner;
  let b = params.b0 + outer * params.b_outer + (i / params.share) * params.b_inner;
  let c = params.c0 + outer * params.c_outer + i * params.c_inner;
  return Origin(a / 4u, b / 4u, c / 4u);
}

// Where the sum over k starts: at 0, or at what earlier parts of k left in C, row `row` of it.
fn start(at: u32, row: u32) -> vec4f {
  if (params.carried == 1u) { return unscaled(c[at], row); }
  return vec4f();
}

fn store(at: u32, row: u32, sum: vec4f) {
  var value = params.alpha * scaled(sum, row);
  // beta = 0 must not read C: it may hold NaN.
  if (params.beta != 0.0) { value += params.beta * c[at]; }
  c[at] = value;
}

// Whether nothing of a tile, from its first row to before column `end` of C, is on or above the diagonal of a symmetric product.
fn below_diagonal(row: u32, end: u32) -> bool {
  return params.symmetric > 0u && end <= row + params.symmetric - 1u;
}
