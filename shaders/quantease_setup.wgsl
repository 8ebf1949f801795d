// Prepares Σ for the sweeps, in processing order (π = order):
//   N[k, j] = Σ[π_k, π_j] / Σ[π_k, π_k]          (rows of dead inputs, Σ_kk = 0, become 0)
//   triangle[j, k] = N[j0 + k, j]                 (k < 32; j0 = first column of the block that holds j)
//
// sigma: [p, p] f32; order: [p] u32; n: [p, p] f32; triangle: [p, 32] f32
//#include lib/item
struct Params { p: u32 }
@group(0) @binding(0) var<storage, read> sigma: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> n: array<f32>;
@group(0) @binding(3) var<storage, read_write> triangle: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let k = at / params.p;
  if (k >= params.p) { return; }
  let j = at % params.p;
  let row = order[k] * params.p;
  let diagonal = sigma[row + order[k]];
  var value = 0.0;
  if (diagonal > 0.0) { value = sigma[row + order[j]] / diagonal; }
  n[at] = value;
  if (j / 32u == k / 32u) { triangle[j * 32u + k % 32u] = value; }
}
