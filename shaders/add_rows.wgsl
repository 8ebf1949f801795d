// x[t, :] += table[min(offset + (first + t) mod window, count − 1), :]      (a bias is a table of one row)
//
// x: [rows, cols] f32, in place, `first`: index of its first row in the whole matrix; table: [count, cols] f32
//#include lib/item
struct Params { rows: u32, cols: u32, first: u32, window: u32, offset: u32, count: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> table: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let n = params.cols / 4u;
  if (at >= params.rows * n) { return; }
  let entry = min(params.offset + (params.first + at / n) % params.window, params.count - 1u);
  x[at] += table[entry * n + at % n];
}
