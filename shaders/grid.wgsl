// Min/max grid of every row and group: the cell that spans the range of lo = min w, hi = max w; on uniform integers
//   lo = min(lo, 0), hi = max(hi, 0);  symmetric: hi = max(|lo|, hi), lo = −hi if lo < 0
//   s = (hi − lo) / M,  z = round(−lo / s), symmetric: (M + 1) / 2
//
// w: [p, q] f32 (input-major: row of W = column here); order: [p] u32, group g is order[g·size .. (g+1)·size]
// range: [groups, q] vec2f (lo, hi), for grid_search; grid: [groups, q] vec2f, cells
// half: cells are float16 numbers, as they are stored
//#include lib/item
//#include lib/grid
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
  var lo = 3e38;
  var hi = -3e38;
  for (var j = first; j < last; j++) {
    let v = w[order[j] * params.q + row];
    lo = min(lo, v);
    hi = max(hi, v);
  }
  let span = range_of(lo, hi, params.symmetric == 1u);
  range[at] = span;
  grid[at] = cell_of(span, params.most, params.symmetric == 1u, params.half == 1u);
}
