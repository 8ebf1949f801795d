// Prepares a symmetric matrix for `feedback`, in reversed order and scaled to unit diagonal:
//   A[i, j] = s_i s_j G[c_i, c_j] for i < j,  A[i, i] = 1,  undefined below
//
// for the rows i whose c_i is in the bound row panel of G; four by four neighbours per invocation
//
// g: [g_rows, p] f32, rows g0 on; columns: [p] vec2u (c_i, bits of s_i), last column first; a: [rows, p] f32, rows row0 on
struct Params { p: u32, g0: u32, g_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> a: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let first = id.y * 4u;
  let j = id.x * 4u;
  if (j >= params.p || j + 3u < params.row0 + first) { return; }
  let c0 = columns[j];
  let c1 = columns[j + 1u];
  let c2 = columns[j + 2u];
  let c3 = columns[j + 3u];
  let scales = bitcast<vec4f>(vec4u(c0.y, c1.y, c2.y, c3.y));
  for (var r = first; r < min(first + 4u, params.rows); r++) {
    let i = params.row0 + r;
    let row = columns[i];
    if (row.x >= params.g0 && row.x < params.g0 + params.g_rows) {
      let at = (row.x - params.g0) * params.p;
      let value = vec4f(g[at + c0.x], g[at + c1.x], g[at + c2.x], g[at + c3.x]) * bitcast<f32>(row.y) * scales;
      a[r * (params.p / 4u) + id.x] = select(value, vec4f(1.0), vec4u(j, j + 1u, j + 2u, j + 3u) == vec4u(i));
    }
  }
}
