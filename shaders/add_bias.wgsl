// x[t, :] += bias
//
// x: [rows, cols] f32, in place; bias: [cols] f32
//#include lib/item
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> bias: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let n = params.cols / 4u;
  if (at >= params.rows * n) { return; }
  x[at] += bias[at % n];
}
