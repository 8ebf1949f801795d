// y[order[i], :] = x[i, :], rounded to float16 when `half`
//
// x, y: [rows, cols] f32; order: [rows] u32, a permutation
//#include lib/item
//#include lib/half
struct Params { rows: u32, cols: u32, half: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  var value = x[at];
  if (params.half == 1u) { value = sign(value) * half_of(abs(value)); }
  y[order[at / params.cols] * params.cols + at % params.cols] = value;
}
