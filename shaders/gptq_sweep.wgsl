// GPTQ (Frantar et al., arXiv 2210.17323, Algorithm 1), the columns j0 .. j0 + 31. Per row of W, for j in order:
//   Ŵ_j = Q(W_j),  e_j = (W_j − Ŵ_j) / U_jj,  W_k −= e_j U_jk  for the later columns k of these 32
// Later columns get theirs from `e` by a GEMM. Rows are independent: one invocation each, no barrier.
//
// x: [p, q] f32 (input-major, processing order), W before and Ŵ after; ut: [.., p] f32, Uᵀ, lower, row j0 at element u0
// group: [p] u32; grid: [groups, q] vec2f (scale, zero); e: [.., q] f32, row e0 is column j0
//#include lib/grid
//#include lib/gptq_walk
struct Params { q: u32, p: u32, j0: u32, u0: u32, e0: u32, most: f32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> ut: array<vec4f>;
@group(0) @binding(2) var<storage, read> group: array<u32>;
@group(0) @binding(3) var<storage, read> grid: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> e: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  walk(row, min(8u, (params.p - params.j0) / 4u));
}

// Rounds column j0 + k and returns its weighted error.
fn step(row: u32, k: u32, w: f32, diagonal: f32) -> f32 {
  let j = params.j0 + k;
  let v = quantized(w, grid[group[j] * params.q + row], params.most);
  let error = (w - v) / diagonal;
  x[j * params.q + row] = v;
  e[(params.e0 + k) * params.q + row] = error;
  return error;
}
