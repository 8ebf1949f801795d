// SpQR (Dettmers et al., arXiv 2306.03078), `width` columns of one group from j0 on. Per row of W, for the columns j in order:
//   β = W_j + G_j,  Ŵ_j = Q(β), H_j = 0; but where D_j (β − Q(β))² > τ:  Ŵ_j = Q(0), H_j = β − Ŵ_j
//   R_j = W_j − Ŵ_j − H_j,  G_k += R_j V_jk  for the later columns k of these
// with G = R·V, formed by a GEMM before.
//
// x: [p, q] f32 (input-major, processing order), W before and H after; r: [p, q] f32; g: [width, q] f32
// n: [.., p] f32, Vᵀ with √D on its diagonal, element n0 is that of column j0; grid: [groups, q, 2] f32, cells
// total: [1] f32, τ = total · relative; codes: [p, q] u32, processing order; counts: [q] u32, outliers so far
// half: H is rounded to float16
//#include lib/grid
//#include lib/half
//#include lib/walk
struct Params { q: u32, p: u32, j0: u32, n0: u32, width: u32, group: u32, most: f32, relative: f32, half: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> r: array<vec4f>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
@group(0) @binding(3) var<storage, read> n: array<vec4f>;
@group(0) @binding(4) var<storage, read> grid: array<vec4f>;
@group(0) @binding(5) var<storage, read> total: array<f32>;
@group(0) @binding(6) var<storage, read_write> codes: array<vec4u>;
@group(0) @binding(7) var<storage, read_write> counts: array<vec4u>;
@group(0) @binding(8) var<uniform> params: Params;

// Of four rows: the grids, two by two, and how many entries were kept.
var<private> cells: mat2x4f;
var<private> kept: vec4u;
var<private> tau: f32;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let quad = id.x;
  if (quad >= params.q / 4u) { return; }
  cells = cells_of(params.group, quad);
  tau = total[0] * params.relative;
  walk(quad);
  counts[quad] += kept;
}

fn step(quad: u32, k: u32, gradient: vec4f, diagonal: f32) -> vec4f {
  let at = (params.j0 + k) * (params.q / 4u) + quad;
  let old = x[at];
  let beta = old + gradient;
  let e0 = keep(beta.x, cells[0].xy, diagonal);
  let e1 = keep(beta.y, cells[0].zw, diagonal);
  let e2 = keep(beta.z, cells[1].xy, diagonal);
  let e3 = keep(beta.w, cells[1].zw, diagonal);
  codes[at] = vec4u(e0.code, e1.code, e2.code, e3.code);
  x[at] = vec4f(e0.h, e1.h, e2.h, e3.h);
  kept += vec4u(e0.kept, e1.kept, e2.kept, e3.kept);
  let rest = old - vec4f(e0.value, e1.value, e2.value, e3.value);
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
