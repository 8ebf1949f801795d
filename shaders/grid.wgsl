// Min/max grid of every row and group:
//   lo = min(min w, 0), hi = max(max w, 0);  symmetric: hi = max(|lo|, hi), lo = −hi if lo < 0
//   s = (hi − lo) / M,  z = round(−lo / s), symmetric: (M + 1) / 2
//
// w: [p, q] f32 (input-major: row of W = column here); order: [p] u32, group g is order[g·size .. (g+1)·size]
// range: [groups, q] vec2f (lo, hi), for grid_search; grid: [groups, q] vec2f (scale, zero)
// half: scales are rounded to float16, as they are stored
//#include lib/item
//#include lib/make_grid
struct Params { q: u32, p: u32, size: u32, groups: u32, most: f32, symmetric: u32, half: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> range: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  var lo = 0.0;
  var hi = 0.0;
  for (var j = first; j < last; j++) {
    let v = w[order[j] * params.q + row];
    lo = min(lo, v);
    hi = max(hi, v);
  }
  if (params.symmetric == 1u) {
    hi = max(-lo, hi);
    if (lo < 0.0) { lo = -hi; }
  }
  if (lo == 0.0 && hi == 0.0) { lo = -1.0; hi = 1.0; }
  range[at] = vec2f(lo, hi);
  grid[at] = grid_of(lo, hi, params.most, params.symmetric == 1u, params.half == 1u);
}
