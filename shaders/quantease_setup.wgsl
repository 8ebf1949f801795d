// Prepares Σ for the sweeps, in processing order (π = order):
//   N[k, j] = Σ[π_k, π_j] / Σ[π_k, π_k]          (rows of dead inputs, Σ_kk = 0, become 0)
//
// for the rows k whose π_k is in the bound row panel of Σ; four neighbouring columns per invocation
//
// sigma: [sigma_rows, p] f32, rows sigma0 on; order: [p] u32; n: [rows, p] f32, rows row0 on
struct Params { p: u32, sigma0: u32, sigma_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> sigma: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> n: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let j = id.x * 4u;
  if (j >= params.p) { return; }
  let k = order[params.row0 + id.y];
  if (k < params.sigma0 || k >= params.sigma0 + params.sigma_rows) { return; }
  let row = (k - params.sigma0) * params.p;
  let diagonal = sigma[row + k];
  var value = vec4f();
  if (diagonal > 0.0) {
    value = vec4f(sigma[row + order[j]], sigma[row + order[j + 1u]], sigma[row + order[j + 2u]], sigma[row + order[j + 3u]]) / diagonal;
  }
  n[id.y * (params.p / 4u) + id.x] = value;
}
