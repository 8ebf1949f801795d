// Rows of a block of `rows` of x, solved in order, given what the rows beyond the block add up to (g); columns are independent:
//   down = 0:  x_i = x_i − g_i − Σ_{j>i} N_ji x_j               (V x = x, V = Nᵀ with unit diagonal), last row first
//   down = 1:  x_i = x_i / N_ii² − g_i − Σ_{j<i} N_ij x_j       (D Vᵀ x = x, √D the diagonal of N), first row first
//
// x: [rows, q] f32; g: [rows, q] f32; n: [.., p] f32, N of the block from n0 on
struct Params { q: u32, p: u32, rows: u32, n0: u32, down: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read> n: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

fn factor(i: u32, j: u32) -> f32 { return n[params.n0 + i * params.p + j]; }

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x;
  if (column >= params.q) { return; }
  for (var step = 0u; step < params.rows; step++) {
    let i = select(params.rows - 1u - step, step, params.down == 1u);
    let at = i * params.q + column;
    var value = x[at];
    if (params.down == 1u) {
      let root = factor(i, i);
      value = value / (root * root) - g[at];
      for (var j = 0u; j < i; j++) { value -= factor(i, j) * x[j * params.q + column]; }
    } else {
      value -= g[at];
      for (var j = i + 1u; j < params.rows; j++) { value -= factor(j, i) * x[j * params.q + column]; }
    }
    x[at] = value;
  }
}
