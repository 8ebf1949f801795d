// QuantEase, one block of 32 columns, left-looking (arXiv 2309.01885, Algorithm 1, in blocks). Per row of W, for j in order:
//   β = Ŵ_j + G_j,  v = Q(β) (relaxed sweep: v = β),  d = v − Ŵ_j
//   Ŵ_j = v,  R_j −= d,  G_k −= d · Σ_kj / Σ_kk  for the later columns k of the block
// with G = R·Σ / diag(Σ) for the block, formed by a GEMM before. Rows are independent: one invocation each, no barrier.
// MASKED: entries whose bit is set take v = β in every sweep; otherwise `mask` is not read.
// Each step changes the row's objective by Σ_jj ((v − β)² − (Ŵ_j − β)²), which is added to `objective`.
//
// what, r: [p, q] f32 (input-major, processing order); g: [32, q] f32; triangle: [p, 32] f32 from quantease_setup
// columns: [p] vec2u (group, bits of Σ_jj); grid: [groups, q] vec2f (scale, zero); objective: [q] f32
// mask: [p, ceil(q / 32)] u32, one bit per row
//#include lib/grid
struct Params { q: u32, p: u32, j0: u32, most: f32, relaxed: u32 }
@group(0) @binding(0) var<storage, read_write> what: array<f32>;
@group(0) @binding(1) var<storage, read_write> r: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> triangle: array<vec4f>;
@group(0) @binding(4) var<storage, read> columns: array<vec2u>;
@group(0) @binding(5) var<storage, read> grid: array<vec2f>;
@group(0) @binding(6) var<storage, read_write> objective: array<f32>;
@group(0) @binding(7) var<storage, read> mask: array<u32>;
@group(0) @binding(8) var<uniform> params: Params;
override MASKED: bool = false;

var<private> change: f32;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  var block: array<vec4f, 8>;
  for (var i = 0u; i < 8u; i++) {
    let at = i * 4u * params.q + row;
    block[i] = vec4f(g[at], g[at + params.q], g[at + 2u * params.q], g[at + 3u * params.q]);
  }
  change = 0.0;
  for (var i = 0u; i < 8u; i++) {
    let j = params.j0 + i * 4u;
    if (j >= params.p) { break; }
    let t = j * 8u;
    var now = block[i];
    let d0 = step(row, j, now.x);
    now -= d0 * triangle[t + i];
    let d1 = step(row, j + 1u, now.y);
    now -= d1 * triangle[t + 8u + i];
    let d2 = step(row, j + 2u, now.z);
    now -= d2 * triangle[t + 16u + i];
    let d3 = step(row, j + 3u, now.w);
    for (var k = i + 1u; k < 8u; k++) {
      block[k] -= d0 * triangle[t + k] + d1 * triangle[t + 8u + k] + d2 * triangle[t + 16u + k] + d3 * triangle[t + 24u + k];
    }
  }
  objective[row] += change;
}

fn step(row: u32, j: u32, gradient: f32) -> f32 {
  let at = j * params.q + row;
  let column = columns[j];
  let old = what[at];
  let beta = old + gradient;
  var v = beta;
  var free = params.relaxed == 1u;
  if (MASKED) { free = free || ((mask[j * ((params.q + 31u) / 32u) + row / 32u] >> (row % 32u)) & 1u) == 1u; }
  if (!free) { v = quantized(beta, grid[column.x * params.q + row], params.most); }
  let d = v - old;
  what[at] = v;
  r[at] -= d;
  change += bitcast<f32>(column.y) * d * (v + old - 2.0 * beta);
  return d;
}
