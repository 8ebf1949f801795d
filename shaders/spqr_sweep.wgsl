// SpQR (Dettmers et al., arXiv 2306.03078), `width` columns of one group from j0 on. Per row of W, for the columns j in order:
//   β = W_j + G_j,  Ŵ_j = Q(β), H_j = 0; but where D_j (β − Q(β))² > τ:  Ŵ_j = Q(0), H_j = β − Ŵ_j
//   R_j = W_j − Ŵ_j − H_j,  G_k += R_j V_jk  for the later columns k of these
// with G = R·V, formed by a GEMM before.
//
// x: [p, q] f32 (input-major, processing order), W before and H after; r: [p, q] f32; g: [width, q] f32
// n: [.., p] f32, Vᵀ with √D on its diagonal, element n0 is that of column j0; grid: [groups, q, 2] f32 (scale, zero)
// total: [1] f32, τ = total · relative; codes: [p, q] u32, processing order; counts: [q] u32, outliers so far
// half: H is rounded to float16
//#include lib/spqr_grid
//#include lib/walk
struct Params { q: u32, p: u32, j0: u32, n0: u32, width: u32, group: u32, most: f32, relative: f32, half: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> r: array<vec2f>;
@group(0) @binding(2) var<storage, read> g: array<vec2f>;
@group(0) @binding(3) var<storage, read> n: array<vec4f>;
@group(0) @binding(4) var<storage, read> grid: array<vec4f>;
@group(0) @binding(5) var<storage, read> total: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<vec2u>;
@group(0) @binding(7) var<storage, read_write> counts: array<vec2u>;
@group(0) @binding(8) var<uniform> params: Params;

var<private> cells: vec4f;
var<private> tau: f32;
var<private> kept: vec2u;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let pair = id.x;
  if (pair >= params.q / 2u) { return; }
  cells = grid[params.group * (params.q / 2u) + pair];
  tau = total[0] * params.relative;
  walk(pair);
  counts[pair] += kept;
}

fn step(pair: u32, k: u32, gradient: vec2f, diagonal: f32) -> vec2f {
  let at = (params.j0 + k) * (params.q / 2u) + pair;
  let old = x[at];
  let beta = old + gradient;
  let one = keep(beta.x, cells.xy, diagonal);
  let two = keep(beta.y, cells.zw, diagonal);
  codes[at] = vec2u(one.code, two.code);
  x[at] = vec2f(one.h, two.h);
  kept += vec2u(one.kept, two.kept);
  let rest = old - vec2f(one.value, two.value);
  r[at] = rest;
  return -rest;
}

struct Entry { code: u32, h: f32, value: f32, kept: u32 }

// Rounds β, or keeps it; value = Ŵ + H.
fn keep(beta: f32, cell: vec2f, diagonal: f32) -> Entry {
  let code = code_of(beta, cell, params.most);
  let value = value_of(code, cell);
  let off = (beta - value) * diagonal;
  if (!(off * off > tau)) { return Entry(u32(code), 0.0, value, 0u); }
  let other = code_of(0.0, cell, params.most);
  let base = value_of(other, cell);
  var h = beta - base;
  if (params.half == 1u) { h = signed_half(h); }
  return Entry(u32(other), h, base + h, 1u);
}
