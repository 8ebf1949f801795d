// Undoes cholesky_setup on the inverted factor:  Uᵀ[k, i] = s_k · X[p−1−i, p−1−k] for i ≤ k, 0 above
//
// a: [p, p] f32, X in its lower half; columns: [p] vec2u (unused, bits of s_k), last column first; ut: [p, p] f32
//#include lib/item
struct Params { p: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> ut: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let k = at / params.p;
  if (k >= params.p) { return; }
  let i = at % params.p;
  var value = 0.0;
  if (i <= k) {
    let col = params.p - 1u - k;
    value = a[(params.p - 1u - i) * params.p + col] * bitcast<f32>(columns[col].y);
  }
  ut[at] = value;
}
