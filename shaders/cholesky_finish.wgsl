// Undoes cholesky_setup on the factor R, as V D Vᵀ:  N[k, i] = V[i, k] = s_k R[j, c] / (s_i R[j, j]) for i < k,
// N[k, k] = √D_k = R[j, j] / s_k, 0 above, with j = p−1−k and c = p−1−i
//
// for the rows k whose row j of R is in the panel at hand; four neighbouring columns per invocation
//
// a: [a_rows, p] f32, rows a0 on, R in its upper half; columns: [p] vec2u (unused, bits of s), last column first
// n: [rows, p] f32, rows row0 on
struct Params { p: u32, a0: u32, a_rows: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> columns: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> n: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let quads = params.p / 4u;
  let k = params.row0 + id.y;
  let j = params.p - 1u - k;
  let i = id.x * 4u;
  if (i >= params.p || j < params.a0 || j >= params.a0 + params.a_rows) { return; }
  var value = vec4f();
  if (i <= k) {
    let row = (j - params.a0) * quads;
    let root = a[row + j / 4u][j % 4u];
    let both = columns[j / 2u];
    let s = bitcast<f32>(select(both.y, both.w, j % 2u == 1u));
    // Columns c of these i, backwards.
    let c = quads - 1u - id.x;
    let scales = bitcast<vec4f>(vec4u(columns[2u * c].yw, columns[2u * c + 1u].yw));
    let scaled = (a[row + c] * (s / root) / scales).wzyx;
    let at = vec4u(i, i + 1u, i + 2u, i + 3u);
    value = select(select(scaled, vec4f(root / s), at == vec4u(k)), vec4f(), at > vec4u(k));
  }
  n[id.y * quads + id.x] = value;
}
