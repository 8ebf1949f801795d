// y[i, y0 .. y0 + cols] = x[i, x0 .. x0 + cols]: copies columns of a matrix into columns of another, as 32-bit words
//
// x: [rows, ldx] u32, y: [rows, ldy] u32
//#include lib/item
struct Params { rows: u32, cols: u32, x0: u32, ldx: u32, y0: u32, ldy: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  let i = at / params.cols;
  let j = at % params.cols;
  y[i * params.ldy + params.y0 + j] = x[i * params.ldx + params.x0 + j];
}
