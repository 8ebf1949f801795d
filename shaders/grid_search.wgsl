// Searches a better grid with smaller ranges: of the ranges shrunk by each (a, b) in `shrink`, on uniform integers (a·lo, b·hi),
// the first that has the least
//   Σ_j weight_j · |w_j − Q(w_j)|^norm        over the columns j of the group, norm 2, or 2.4 with POWER
// Twenty candidates a dispatch, their errors in registers while the columns pass once; `least` carries the best so far.
//
// w: [p, q] f32 (input-major); order: [p] u32, group g is order[g·size .. (g+1)·size]; weight: [p] f32
// range: [groups, q] vec2f (lo, hi); shrink: [..] vec2f (a, b), this dispatch takes the 20 from `start` on
// powers: the table of lib/power (anything without POWER); least: [groups, q] f32; grid: [groups, q] vec2f, cells
//#include lib/item
//#include lib/grid
//#include lib/power
//#include lib/run
override POWER: bool = false;
struct Params { q: u32, p: u32, size: u32, groups: u32, most: f32, symmetric: u32, half: u32, start: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> range: array<vec2f>;
@group(0) @binding(4) var<storage, read> shrink: array<vec2f>;
@group(0) @binding(5) var<storage, read> powers: array<u32>;
@group(0) @binding(6) var<storage, read_write> least: array<f32>;
@group(0) @binding(7) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  let full = range[at];
  var cells: array<mat2x4f, 5>;
  var error: array<vec4f, 5>;
  for (var c = 0u; c < 5u; c++) {
    cells[c] = mat2x4f(
      vec4f(candidate(full, 4u * c), candidate(full, 4u * c + 1u)),
      vec4f(candidate(full, 4u * c + 2u), candidate(full, 4u * c + 3u)),
    );
  }
  for (var r0 = first; r0 < last; r0 += RUN) {
    var run = array<vec4f, 5>();
    for (var j = r0; j < min(r0 + RUN, last); j++) {
      let column = order[j];
      let v = w[column * params.q + row];
      let much = weight[column];
      for (var c = 0u; c < 5u; c++) {
        let off = abs(quantized4(vec4f(v), cells[c], params.most) - v);
        if (POWER) { run[c] += much * vec4f(power(off.x), power(off.y), power(off.z), power(off.w)); } else { run[c] += much * off * off; }
      }
    }
    for (var c = 0u; c < 5u; c++) { error[c] += run[c]; }
  }
  var best = least[at];
  for (var c = 0u; c < 20u; c++) {
    if (error[c / 4u][c % 4u] < best) {
      best = error[c / 4u][c % 4u];
      grid[at] = candidate(full, c);
    }
  }
  least[at] = best;
}

fn candidate(full: vec2f, c: u32) -> vec2f {
  return cell_of(shrunk(full, shrink[params.start + c]), params.most, params.symmetric == 1u, params.half == 1u);
}
