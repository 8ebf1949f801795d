// Prepares Σ for the sweeps, in processing order (π = order):
//   N[k, j] = Σ[π_k, π_j] / Σ[π_k, π_k]          (rows of dead inputs, Σ_kk = 0, become 0)
//
// for the rows k whose π_k is in the panel of Σ at hand
//
// sigma: [sigma_rows, p] f32, rows sigma0 on; order: [p] u32; n: [rows, p] f32, rows row0 on
//#include lib/item
struct Params { p: u32, sigma0: u32, sigma_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> sigma: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> n: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.p) { return; }
  let k = order[params.row0 + at / params.p];
  let j = order[at % params.p];
  if (k < params.sigma0 || k >= params.sigma0 + params.sigma_rows) { return; }
  let row = (k - params.sigma0) * params.p;
  let diagonal = sigma[row + k];
  var value = 0.0;
  if (diagonal > 0.0) { value = sigma[row + j] / diagonal; }
  n[at] = value;
}
