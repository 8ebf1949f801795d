// (d, m) of every super-block and row, the finest that divide its cells (lib/super).
//
// grid: [blocks · count, q] vec2f, cells; units: [blocks, q] vec2f
//#include lib/item
//#include lib/super
struct Params { q: u32, blocks: u32, count: u32, least: f32, top: f32, middle: f32 }
@group(0) @binding(0) var<storage, read> grid: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> units: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.blocks * params.q) { return; }
  let first = (at / params.q) * params.count * params.q + at % params.q;
  var largest = vec2f();
  for (var k = 0u; k < params.count; k++) {
    let cell = grid[first + k * params.q];
    if (abs(cell.x) > abs(largest.x)) { largest.x = cell.x; }
    if (abs(cell.y) > abs(largest.y)) { largest.y = cell.y; }
  }
  var unit = vec2f(0.0, 0.0);
  // Of a signed type, the least multiple has no counterpart: d takes the sign that it needs.
  var times = max(params.top, -params.least);
  while (times >= 1.0 && largest.x != 0.0) {
    let d = select(signed_half(abs(largest.x) / times), signed_half(-largest.x / times), times > params.top);
    var fits = true;
    for (var k = 0u; k < params.count && fits; k++) { fits = divides(d, grid[first + k * params.q].x, params.least); }
    if (fits) { unit.x = d; break; }
    times -= 1.0;
  }
  times = params.top;
  while (times >= 1.0 && largest.y != 0.0 && params.least == 0.0) {
    let m = signed_half(-largest.y / times);
    var fits = true;
    for (var k = 0u; k < params.count && fits; k++) { fits = divides(m, -grid[first + k * params.q].y, 0.0); }
    if (fits) { unit.y = m; break; }
    times -= 1.0;
  }
  units[at] = unit;
}
