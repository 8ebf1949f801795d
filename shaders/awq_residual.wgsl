// Rounding error of one candidate of AWQ's searches, for every row and group:
//   v = w ⊙ c,  m = keep · max|v|,  d = (Q(clamp(v, −m, m)) − v) / c
// Q on the grid of the clamped group. The scale search varies c, the clip search `keep`.
//
// w: [p, q] f32 (input-major: row of W = column here); c: [p] f32; groups are runs of `size` inputs
// d: [p, q] f32; half: cells are float16 numbers, as they are stored
//#include lib/item
//#include lib/awq_range
//#include lib/grid
struct Params { q: u32, p: u32, size: u32, groups: u32, most: f32, keep: f32, half: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> c: array<f32>;
@group(0) @binding(2) var<storage, read_write> d: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  var lo = 3e38;
  var hi = -3e38;
  for (var j = first; j < last; j++) {
    let v = w[j * params.q + row] * c[j];
    lo = min(lo, v);
    hi = max(hi, v);
  }
  let m = params.keep * max(-lo, hi);
  let cell = cell_of(awq_range(clamp(lo, -m, m), clamp(hi, -m, m)), params.most, false, params.half == 1u);
  for (var j = first; j < last; j++) {
    let v = w[j * params.q + row] * c[j];
    d[j * params.q + row] = (quantized(clamp(v, -m, m), cell, params.most) - v) / c[j];
  }
}
