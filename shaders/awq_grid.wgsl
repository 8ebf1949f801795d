// x = clamp(w, −m, m) with m = clip[group], and the cell that spans each row and group of x
//
// w, x: [p, q] f32 (input-major); clip: [groups, q] f32; groups are runs of `size` inputs
// grid: [groups, q] vec2f, cells; half: scales are rounded to float16, as stored
//#include lib/item
//#include lib/awq_range
//#include lib/grid
struct Params { q: u32, p: u32, size: u32, groups: u32, most: f32, half: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> clip: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  let m = clip[at];
  var lo = 3e38;
  var hi = -3e38;
  for (var j = first; j < last; j++) {
    let e = j * params.q + row;
    let v = clamp(w[e], -m, m);
    x[e] = v;
    lo = min(lo, v);
    hi = max(hi, v);
  }
  grid[at] = cell_of(awq_range(lo, hi), params.most, false, params.half == 1u);
}
