// SpQR (Dettmers et al., arXiv 2306.03078), `width` columns of one group from j0 on. Per row of W, for j in order:
//   Ŵ_j = Q(W_j), H_j = 0; but where ((W_j − Q(W_j)) / U_jj)² > τ:  Ŵ_j = Q(0), H_j = W_j − Ŵ_j
//   e_j = (W_j − Ŵ_j − H_j) / U_jj,  W_k −= e_j U_jk  for the later columns k of these
// Later columns get theirs from `e` by a GEMM. Rows are independent: one invocation each, no barrier.
//
// x: [p, q] f32 (input-major, processing order), W before and H after; ut: [.., p] f32, Uᵀ, lower, row j0 at element u0
// grid: [groups, q] vec2f (scale, zero); total: [1] f32, τ = total · relative
// codes: [p, q] u32, processing order; e: [.., q] f32, row e0 is column j0; counts: [q] u32, outliers so far
// width: a multiple of 4, at most 32; half: H is rounded to float16
//#include lib/spqr_grid
//#include lib/gptq_walk
struct Params { q: u32, p: u32, j0: u32, u0: u32, e0: u32, width: u32, group: u32, most: f32, relative: f32, half: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> ut: array<vec4f>;
@group(0) @binding(2) var<storage, read> grid: array<vec2f>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> e: array<f32>;
@group(0) @binding(6) var<storage, read_write> counts: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

var<private> cell: vec2f;
var<private> tau: f32;
var<private> kept: u32;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  cell = grid[params.group * params.q + row];
  tau = total[0] * params.relative;
  walk(row, params.width / 4u);
  counts[row] += kept;
}

// Rounds column j0 + k, or keeps it, and returns its weighted error.
fn step(row: u32, k: u32, w: f32, diagonal: f32) -> f32 {
  var code = code_of(w, cell, params.most);
  var off = w - value_of(code, cell);
  var h = 0.0;
  if (off * off > tau * diagonal * diagonal) {
    code = code_of(0.0, cell, params.most);
    let rest = w - value_of(code, cell);
    h = rest;
    if (params.half == 1u) { h = signed_half(rest); }
    off = rest - h;
    kept += 1u;
  }
  let at = (params.j0 + k) * params.q + row;
  codes[at] = u32(code);
  x[at] = h;
  let error = off / diagonal;
  e[(params.e0 + k) * params.q + row] = error;
  return error;
}
