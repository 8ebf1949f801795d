// The float16 d and m of a super-block (lib/super) with the least error while codes and multiples stay: with R = W − Ŵ and G = R Σ, weights
// that change by x U + y V change the objective by
//   −2 (x u·G + y v·G) + x² u·ΣU + 2 x y v·ΣU + y² v·ΣV
// which is solved for x and y; taken only if it falls with d + x and m + y rounded to float16. Ŵ, R and the cells follow.
//
// what, r: [p, q] f32; parts: [2, length, q] f32, U and V; products: [3, length, q] f32, G, ΣU and ΣV
// grid: [groups, q] vec2f, cells; units: [blocks, q] vec2f; j0: the super-block's first input; block: its number
//#include lib/affine
//#include lib/super
//#include lib/run
struct Params { q: u32, size: u32, length: u32, j0: u32, block: u32, least: f32, top: f32, middle: f32, most: f32 }
@group(0) @binding(0) var<storage, read_write> what: array<f32>;
@group(0) @binding(1) var<storage, read_write> r: array<f32>;
@group(0) @binding(2) var<storage, read> parts: array<f32>;
@group(0) @binding(3) var<storage, read> products: array<f32>;
@group(0) @binding(4) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(5) var<storage, read_write> units: array<vec2f>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  let part = params.length * params.q;
  // u·G, v·G; u·ΣU, v·ΣU, v·ΣV
  var first = vec2f();
  var second = vec3f();
  for (var j0 = 0u; j0 < params.length; j0 += RUN) {
    var ones = vec2f();
    var twos = vec3f();
    for (var j = j0; j < min(j0 + RUN, params.length); j++) {
      let at = j * params.q + row;
      let u = parts[at];
      let v = parts[part + at];
      ones += products[at] * vec2f(u, v);
      twos += vec3f(products[part + at], products[part + at], products[2u * part + at]) * vec3f(u, v, v);
    }
    first += ones;
    second += twos;
  }
  let unit = units[params.block * params.q + row];
  let shift = solved(first, second);
  let next = vec2f(signed_half(unit.x + shift.x), signed_half(unit.y + shift.y));
  let x = next.x - unit.x;
  let y = next.y - unit.y;
  let size = x * x * second.x + 2.0 * x * y * second.y + y * y * second.z;
  // Also false for what is no number, or more than float16 holds.
  if (!(size - 2.0 * (x * first.x + y * first.y) < -1e-5 * abs(size)) || next.x == 0.0 || any(abs(next) >= vec2f(65504.0))) { return; }
  units[params.block * params.q + row] = next;
  for (var k = params.j0 / params.size; k < (params.j0 + params.length) / params.size; k++) {
    let place = k * params.q + row;
    let old = grid[place];
    let cell = cell_from(next, times_of(old, unit));
    grid[place] = cell;
    for (var j = k * params.size; j < (k + 1u) * params.size; j++) {
      let at = j * params.q + row;
      let before = what[at];
      let value = value_of(code_of(before, old, params.most), cell);
      what[at] = value;
      r[at] -= value - before;
    }
  }
}

fn solved(first: vec2f, second: vec3f) -> vec2f {
  let det = second.x * second.z - second.y * second.y;
  if (det > 1e-4 * second.x * second.z) {
    return vec2f(first.x * second.z - first.y * second.y, first.y * second.x - first.x * second.y) / det;
  }
  return vec2f(select(0.0, first.x / second.x, second.x > 0.0), 0.0);
}
