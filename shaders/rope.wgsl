// Rotary position embedding of the first r dimensions of each head, half-split pairs (x_i, x_{i+r/2}), in place:
//   x_i' = x_i cos − x_{i+r/2} sin,   x_{i+r/2}' = x_{i+r/2} cos + x_i sin,   angle = position · inv_i
//
// x: [tokens, heads · d] f32, position = (first + token) mod window;  table: [window, r/2] vec2f (cos, sin)
//#include lib/item
struct Params { tokens: u32, heads: u32, d: u32, rotating: u32, window: u32, first: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let half = params.rotating / 2u;
  if (at >= params.tokens * params.heads * half) { return; }
  let i = at % half;
  let token = at / (half * params.heads);
  let angle = table[((params.first + token) % params.window) * half + i];
  let low = (at / half) * params.d + i;
  let u = x[low];
  let v = x[low + half];
  x[low] = u * angle.x - v * angle.y;
  x[low + half] = v * angle.x + u * angle.y;
}
