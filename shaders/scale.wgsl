// x ← diag(r) x diag(c), in place
//
// x: [rows, cols] f32, rows row0 on of the whole; r: [..] f32, for all rows; c: [cols] f32
//#include lib/item
struct Params { rows: u32, cols: u32, row0: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> r: array<f32>;
@group(0) @binding(2) var<storage, read> c: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  x[at] *= r[params.row0 + at / params.cols] * c[at % params.cols];
}
