// y[j, c·q + row] = x[j, row] for c < copies: the same rows of W once per candidate
//
// x: [p, q] f32; y: [p, copies·q] f32
//#include lib/item
struct Params { q: u32, p: u32, copies: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let wide = params.copies * params.q;
  if (at >= params.p * wide) { return; }
  y[at] = x[at / wide * params.q + at % params.q];
}
