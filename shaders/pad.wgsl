// y = x with zero columns added on the right (or columns dropped when y is narrower).
//
// x: [rows, from] f32, y: [rows, to] f32
//#include lib/item
struct Params { rows: u32, cols_in: u32, cols_out: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols_out) { return; }
  let row = at / params.cols_out;
  let col = at % params.cols_out;
  var value = 0.0;
  if (col < params.cols_in) { value = x[row * params.cols_in + col]; }
  y[at] = value;
}
