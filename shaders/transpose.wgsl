// y[j, i] = x[i, j]
//
// x: [.., ldx] f32, row0 is its first row; y: [.., ldy] f32, col0 is its first row. i: row0 .. row0 + rows, j: col0 .. col0 + cols
//#include lib/item
struct Params { rows: u32, cols: u32, row0: u32, col0: u32, ldx: u32, ldy: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  let i = at % params.rows;
  let j = at / params.rows;
  y[j * params.ldy + params.row0 + i] = x[i * params.ldx + params.col0 + j];
}
