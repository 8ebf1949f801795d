// Super-blocks for cells of any numbers: d and m span the largest of them, and each group takes the multiples near its cell with the least
//   Σ_j weight_j · (w_j − Q(w_j))²
//
// w: [p, q] f32 (input-major); weight: [p] f32; found: [groups, q] vec2f, cells; grid: [groups, q] vec2f, cells (lib/super)
// most: the largest code; size: inputs of a group, at most 32
//#include lib/item
//#include lib/affine
//#include lib/super
struct Params { q: u32, blocks: u32, count: u32, least: f32, top: f32, middle: f32, most: f32, size: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> found: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

// Multiples that are tried on each side of the nearest.
const NEAR = 2.0;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.blocks * params.q) { return; }
  let row = at % params.q;
  let block = (at / params.q) * params.count;
  var largest = vec2f();
  for (var k = 0u; k < params.count; k++) {
    let cell = found[(block + k) * params.q + row];
    if (abs(cell.x) > abs(largest.x)) { largest.x = cell.x; }
    largest.y = max(largest.y, -cell.y);
  }
  let signed = params.least < 0.0;
  // The largest of a signed type is the least multiple, which has no counterpart.
  let x = signed_half(largest.x / select(params.top, params.least, signed));
  let unit = vec2f(x, select(signed_half(largest.y / params.top), 0.0, signed));
  for (var k = 0u; k < params.count; k++) {
    let cell = found[(block + k) * params.q + row];
    grid[(block + k) * params.q + row] = best_cell(cell, unit, (block + k) * params.size, row);
  }
}

fn best_cell(cell: vec2f, unit: vec2f, first: u32, row: u32) -> vec2f {
  var values: array<f32, 32>;
  for (var j = 0u; j < params.size; j++) { values[j] = w[(first + j) * params.q + row]; }
  let middle = times_of(cell, unit);
  let tries = select(vec2f(NEAR), vec2f(NEAR, 0.0), params.least < 0.0);
  var best = cell_from(unit, clamp(middle, vec2f(params.least, 0.0), vec2f(params.top)));
  var least = 3e38;
  for (var s = -tries.x; s <= tries.x; s += 1.0) {
    for (var t = -tries.y; t <= tries.y; t += 1.0) {
      let times = middle + vec2f(s, t);
      if (times.x < params.least || times.y < 0.0 || any(times > vec2f(params.top))) { continue; }
      let candidate = cell_from(unit, times);
      var error = 0.0;
      for (var j = 0u; j < params.size; j++) {
        let off = quantized(values[j], candidate, params.most) - values[j];
        error += weight[first + j] * off * off;
      }
      if (error < least) {
        least = error;
        best = candidate;
      }
    }
  }
  return best;
}
