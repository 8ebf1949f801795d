// The multiples s, t of one group of every row that are best while its codes c stay (lib/super). With R = W − Ŵ, G = R Σ and the group's
// part of Σ, weights that change by x c + y change the objective by
//   −2 (x a + y b) + x² A + 2 x y B + y² C,   a = Σ c G, b = Σ G, A = cᵀ Σ c, B = cᵀ Σ 1, C = 1ᵀ Σ 1
// which is least over x for every y in turn; types without minima have y = −middle · x, so c − middle in the place of c, and no y.
// Ŵ and R follow.
//
// what, r: [p, q] f32; g: [size, q] f32; sigma: [.., p] f32, that of the group's first input with itself at element n0
// grid: [groups, q] vec2f, cells; units: [blocks, q] vec2f; j0: the group's first input; group: its number, block: that of its super-block
//#include lib/affine
//#include lib/super
struct Params {
  q: u32, p: u32, size: u32, j0: u32, n0: u32, group: u32, block: u32, least: f32, top: f32, middle: f32, most: f32,
}
@group(0) @binding(0) var<storage, read_write> what: array<f32>;
@group(0) @binding(1) var<storage, read_write> r: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> sigma: array<f32>;
@group(0) @binding(4) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(5) var<storage, read> units: array<vec2f>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  let place = params.group * params.q + row;
  let cell = grid[place];
  let unit = units[params.block * params.q + row];
  let signed = params.least < 0.0;
  var c: array<f32, 32>;
  var sums = vec2f();
  for (var j = 0u; j < params.size; j++) {
    c[j] = code_of(what[(params.j0 + j) * params.q + row], cell, params.most) - select(0.0, params.middle, signed);
    sums += g[j * params.q + row] * vec2f(c[j], 1.0);
  }
  var squares = vec3f();
  for (var i = 0u; i < params.size; i++) {
    var line = vec2f();
    for (var j = 0u; j < params.size; j++) { line += sigma[params.n0 + i * params.p + j] * vec2f(c[j], 1.0); }
    squares += vec3f(c[i], c[i], 1.0) * line.xyy;
  }
  let moved = best_move(sums, squares, times_of(cell, unit), unit);
  if (all(moved == times_of(cell, unit))) { return; }
  let next = cell_from(unit, moved);
  grid[place] = next;
  for (var j = 0u; j < params.size; j++) {
    let at = (params.j0 + j) * params.q + row;
    let old = what[at];
    let value = value_of(c[j] + select(0.0, params.middle, signed), next);
    what[at] = value;
    r[at] -= value - old;
  }
}

fn best_move(sums: vec2f, squares: vec3f, now: vec2f, unit: vec2f) -> vec2f {
  var best = now;
  var least = 0.0;
  let last = select(params.top, 0.0, params.least < 0.0 || unit.y == 0.0);
  for (var t = 0.0; t <= last; t += 1.0) {
    let y = select(-unit.y * (t - now.y), 0.0, last == 0.0);
    var s = now.x;
    if (unit.x != 0.0 && squares.x > 0.0) {
      let x = (sums.x - y * squares.y) / squares.x;
      s = clamp(round(now.x + x / unit.x), params.least, params.top);
    }
    let x = unit.x * (s - now.x);
    let size = x * x * squares.x + 2.0 * x * y * squares.y + y * y * squares.z;
    let change = size - 2.0 * (x * sums.x + y * sums.y);
    // What float32 tells from nothing.
    if (change < least && change < -1e-5 * abs(size)) {
      least = change;
      best = vec2f(s, select(t, now.y, last == 0.0));
    }
  }
  return best;
}
