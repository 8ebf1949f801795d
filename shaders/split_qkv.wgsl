// Splits a fused projection. A row of x contains, per key/value head g: `share` query heads, the key head, the value head.
//   q[t, (g · share + r) d + c] = x[t, (g (share + 2) + r) d + c];   k[t, g d + c]: r = share;   v[t, g d + c]: r = share + 1
//
// x: [rows, kv · (share + 2) · d] f32; q: [rows, kv · share · d]; k, v: [rows, kv · d]; d a multiple of 4
//#include lib/item
struct Params { rows: u32, kv: u32, share: u32, d: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> q: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> k: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let d = params.d / 4u;
  let heads = params.kv * (params.share + 2u);
  if (at >= params.rows * heads * d) { return; }
  let c = at % d;
  let row = at / (heads * d);
  let head = (at / d) % heads;
  let g = head / (params.share + 2u);
  let r = head % (params.share + 2u);
  if (r < params.share) {
    q[((row * params.kv + g) * params.share + r) * d + c] = x[at];
  } else if (r == params.share) {
    k[(row * params.kv + g) * d + c] = x[at];
  } else {
    v[(row * params.kv + g) * d + c] = x[at];
  }
}
