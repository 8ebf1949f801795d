// S[i, j] = S[j, i] with the rows i in one panel of a symmetric matrix and j in another one above it
//
// upper: [upper_rows, p] f32, rows upper0 on of S, only read (but two panels of one buffer must be bound alike)
// lower: [lower_rows, p] f32, rows lower0 on
//#include lib/item
struct Params { p: u32, upper0: u32, upper_rows: u32, lower0: u32, lower_rows: u32 }
@group(0) @binding(0) var<storage, read_write> upper: array<f32>;
@group(0) @binding(1) var<storage, read_write> lower: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let i = at / params.upper_rows;
  let j = at % params.upper_rows;
  if (i >= params.lower_rows) { return; }
  lower[i * params.p + params.upper0 + j] = upper[j * params.p + params.lower0 + i];
}
