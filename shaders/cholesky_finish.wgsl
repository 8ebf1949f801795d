// Undoes cholesky_setup on the inverted factor:  Uᵀ[k, i] = s_k · X[p−1−i, p−1−k] for i ≤ k, 0 above
//
// for the entries of one panel of X
//
// a: [a_rows, p] f32, rows a0 on, X in its lower half; columns: [p] vec2u (unused, bits of s_k), last column first
// ut: [rows, p] f32, rows row0 on
//#include lib/item
struct Params { p: u32, a0: u32, a_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> ut: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.p) { return; }
  let k = params.row0 + at / params.p;
  let i = at % params.p;
  let source = params.p - 1u - i;
  if (source < params.a0 || source >= params.a0 + params.a_rows) { return; }
  var value = 0.0;
  if (i <= k) {
    let col = params.p - 1u - k;
    value = a[(source - params.a0) * params.p + col] * bitcast<f32>(columns[col].y);
  }
  ut[at] = value;
}
