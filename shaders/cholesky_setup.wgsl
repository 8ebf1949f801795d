// Prepares a symmetric matrix for `feedback`, in reversed order and scaled to unit diagonal:
//   A[i, j] = s_i s_j G[c_i, c_j] for i < j,  A[i, i] = 1,  A[i, j] = 0 below
//
// for the rows i whose c_i is in the panel of G at hand
//
// g: [g_rows, p] f32, rows g0 on; columns: [p] vec2u (c_i, bits of s_i), last column first; a: [rows, p] f32, rows row0 on
//#include lib/item
struct Params { p: u32, g0: u32, g_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> a: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.p) { return; }
  let i = params.row0 + at / params.p;
  let j = at % params.p;
  let row = columns[i];
  if (row.x < params.g0 || row.x >= params.g0 + params.g_rows) { return; }
  var value = 0.0;
  if (i == j) { value = 1.0; }
  if (i < j) {
    let col = columns[j];
    value = g[(row.x - params.g0) * params.p + col.x] * bitcast<f32>(row.y) * bitcast<f32>(col.y);
  }
  a[at] = value;
}
