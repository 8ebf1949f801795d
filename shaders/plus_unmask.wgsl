// y = x where h is 0, else 0: the part of Ŵ that is on the grid
//
// x, h, y: [n] f32
//#include lib/item
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> h: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at < params.n) { y[at] = select(0.0, x[at], h[at] == 0.0); }
}
