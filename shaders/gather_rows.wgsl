// y[i, :] = x[order[i], :]
//
// x: [.., cols] f32; order: [rows] u32; y: [rows, cols] f32
//#include lib/item
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  y[at] = x[order[at / params.cols] * params.cols + at % params.cols];
}
