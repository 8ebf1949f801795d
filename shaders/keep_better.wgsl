// y = x if the error has increased (change > 0), else y is unchanged: keeps the better of two results without the host
//
// change: [1] f32; x, y: [n] u32, any type, as bits
//#include lib/item
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> change: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at < params.n && change[0] > 0.0) { y[at] = x[at]; }
}
