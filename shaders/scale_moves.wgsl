// The scale of one group of every row that is best while its codes stay, for grids with values in proportion to it, u = value / x. With
// R = W − Ŵ, G = R Σ and the group's part of Σ, a scale that changes by d changes the objective by
//   −2 d a + d² A,   a = Σ_j u_j G_j, A = uᵀ Σ u
// which is least at x + a / A; of what the grid stores (lib/grid) near it the best is taken, if it is better. Ŵ and R follow.
//
// what, r: [p, q] f32; g: [size, q] f32; sigma: [.., p] f32, that of the group's first input with itself at element n0
// grid: [groups, q] vec2f, cells; j0: the group's first input, size: how many, at most 32; group: its number
//#include lib/grid
struct Params { q: u32, p: u32, size: u32, j0: u32, n0: u32, group: u32, most: f32 }
@group(0) @binding(0) var<storage, read_write> what: array<f32>;
@group(0) @binding(1) var<storage, read_write> r: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read> sigma: array<f32>;
@group(0) @binding(4) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= params.q) { return; }
  let place = params.group * params.q + row;
  let cell = grid[place];
  var u: array<f32, 32>;
  var first = 0.0;
  for (var j = 0u; j < params.size; j++) {
    u[j] = value_of(code_of(what[(params.j0 + j) * params.q + row], cell, params.most), vec2f(1.0, cell.y));
    first += u[j] * g[j * params.q + row];
  }
  var second = 0.0;
  for (var i = 0u; i < params.size; i++) {
    var line = 0.0;
    for (var j = 0u; j < params.size; j++) { line += sigma[params.n0 + i * params.p + j] * u[j]; }
    second += u[i] * line;
  }
  if (!(second > 0.0)) { return; }
  let wanted = max(cell.x + first / second, 0.0);
  let near = rescaled(cell, wanted, true);
  // Where steps are wide, the nearest by size may be the next one.
  var next = cell;
  var least = 0.0;
  for (var k = -1; k <= 1; k++) {
    let candidate = rescaled(cell, near.x * exp2(f32(k)), true);
    let d = candidate.x - cell.x;
    let change = d * (d * second - 2.0 * first);
    // What float32 tells from nothing.
    if (change < least && change < -1e-5 * d * d * second) {
      least = change;
      next = candidate;
    }
  }
  if (all(next == cell)) { return; }
  grid[place] = next;
  for (var j = 0u; j < params.size; j++) {
    let at = (params.j0 + j) * params.q + row;
    let value = value_of(code_of(what[at], cell, params.most), next);
    r[at] -= value - what[at];
    what[at] = value;
  }
}
