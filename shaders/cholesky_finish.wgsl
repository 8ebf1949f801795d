// Undoes cholesky_setup on the factor R, as V D Vᵀ:  N[k, i] = V[i, k] = s_k R[j, c] / (s_i R[j, j]) for i < k,
// N[k, k] = √D_k = R[j, j] / s_k, 0 above, with j = p−1−k and c = p−1−i
//
// for the rows k whose row j of R is in the panel at hand
//
// a: [a_rows, p] f32, rows a0 on, R in its upper half; columns: [p] vec2u (unused, bits of s), last column first
// n: [rows, p] f32, rows row0 on
//#include lib/item
struct Params { p: u32, a0: u32, a_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> n: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.p) { return; }
  let last = params.p - 1u;
  let j = last - params.row0 - at / params.p;
  let c = last - at % params.p;
  if (j < params.a0 || j >= params.a0 + params.a_rows) { return; }
  var value = 0.0;
  if (c >= j) {
    let row = (j - params.a0) * params.p;
    let s = bitcast<f32>(columns[j].y);
    let root = a[row + j];
    value = root / s;
    if (c > j) { value = a[row + c] * s / (root * bitcast<f32>(columns[c].y)); }
  }
  n[at] = value;
}
