// Queries, keys and values of a gated delta net (ops/delta.ts), a row of them for each position and value head:
//   q = q̃ / √(|q̃|² + 1e−6) / √dk;   k = k̃ / √(|k̃|² + 1e−6);   v as it is
// where q̃ and k̃ are those of key head ⌊head · key_heads / heads⌋. Positions past the window's end are 0.
//
// x: [windows · t, 2 · key_heads · dk + heads · dv] f32: queries, keys, values
// q, k: [windows · padded, heads · dk]; v: [windows · padded, heads · dv] f32; dk, dv multiples of 4
//#include lib/item
struct Params { windows: u32, t: u32, padded: u32, key_heads: u32, heads: u32, dk: u32, dv: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> q: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> k: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  if (at >= params.windows * params.padded * params.heads) { return; }
  let dk = params.dk / 4u;
  let dv = params.dv / 4u;
  let head = at % params.heads;
  let row = at / params.heads;
  let i = row % params.padded;
  if (i >= params.t) {
    for (var c = 0u; c < dk; c++) { q[at * dk + c] = vec4f(); k[at * dk + c] = vec4f(); }
    for (var c = 0u; c < dv; c++) { v[at * dv + c] = vec4f(); }
    return;
  }
  let key_head = head * params.key_heads / params.heads;
  let width = 2u * params.key_heads * dk + params.heads * dv;
  let start = ((row / params.padded) * params.t + i) * width;
  let q0 = start + key_head * dk;
  let k0 = q0 + params.key_heads * dk;
  let v0 = start + 2u * params.key_heads * dk + head * dv;
  var squares = vec2f();
  for (var c = 0u; c < dk; c++) { squares += vec2f(dot(x[q0 + c], x[q0 + c]), dot(x[k0 + c], x[k0 + c])); }
  let norms = 1.0 / sqrt(squares + 1e-6);
  let shrink = norms.x / sqrt(f32(params.dk));
  for (var c = 0u; c < dk; c++) {
    q[at * dk + c] = x[q0 + c] * shrink;
    k[at * dk + c] = x[k0 + c] * norms.y;
  }
  for (var c = 0u; c < dv; c++) { v[at * dv + c] = x[v0 + c]; }
}
