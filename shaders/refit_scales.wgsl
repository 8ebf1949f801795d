// The scales with the least error for fixed codes, by back-substitution in the eliminated system: group k's scale
// is multiplied by 1 + δ_k with
//   A_kk δ_k = A_k,groups − Σ_{j > k} A_kj δ_j
// A scale that would not stay positive is kept. A scale rounded to float16 (half) enters the groups before it as rounded,
// so they make up for it.
//
// system: [groups, groups + 1, rows] f32; grid, refitted: [groups, q] vec2f, cells whose x is the scale, rows row0 .. row0 + rows
//#include lib/grid
struct Params { q: u32, groups: u32, row0: u32, rows: u32, half: u32 }
@group(0) @binding(0) var<storage, read> system: array<f32>;
@group(0) @binding(1) var<storage, read> grid: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> refitted: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let row = params.row0 + id.x;
  for (var k = params.groups; k > 0u; ) {
    k--;
    let line = k * (params.groups + 1u);
    var left = system[(line + params.groups) * params.rows + id.x];
    for (var j = k + 1u; j < params.groups; j++) {
      let delta = refitted[j * params.q + row].x / grid[j * params.q + row].x - 1.0;
      left -= system[(line + j) * params.rows + id.x] * delta;
    }
    let pivot = system[(line + k) * params.rows + id.x];
    var cell = grid[k * params.q + row];
    // Also false for what is no number.
    if (pivot > 0.0 && left > -pivot && left < 1e3 * pivot) {
      cell = rescaled(cell, cell.x + cell.x * left / pivot, params.half == 1u);
    }
    refitted[k * params.q + row] = cell;
  }
}
