// Prepares a symmetric matrix for `inverseFactor`, in reversed order and scaled to unit diagonal:
//   A[i, j] = s_i s_j G[c_i, c_j] for i < j,  A[i, i] = 1,  A[i, j] = 0 below (where the inverse will grow)
//
// g: [p, p] f32; columns: [p] vec2u (c_i, bits of s_i), last column first; a: [p, p] f32
//#include lib/item
struct Params { p: u32 }
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> a: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let i = at / params.p;
  if (i >= params.p) { return; }
  let j = at % params.p;
  var value = 0.0;
  if (i == j) { value = 1.0; }
  if (i < j) {
    let row = columns[i];
    let col = columns[j];
    value = g[row.x * params.p + col.x] * bitcast<f32>(row.y) * bitcast<f32>(col.y);
  }
  a[at] = value;
}
