// W[k, n] = value(code[k, n]) on the grid of g_k and n, scale · (code − zero) if uniform: dequantizes a packed linear to f32,
// input-major, rows row0 .. row0 + rows.
//
// packed: [ceil(p · bits / 32), q] u32 as pack.wgsl writes it; group: [p] u32; grid: [groups, q] vec2f; w: [rows, q] f32
//#include lib/item
//#include lib/grid
//#include lib/packed
struct Params { q: u32, rows: u32, bits: u32, row0: u32 }
@group(0) @binding(0) var<storage, read> packed: array<u32>;
@group(0) @binding(1) var<storage, read> group: array<u32>;
@group(0) @binding(2) var<storage, read> grid: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> w: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.q) { return; }
  let k = params.row0 + at / params.q;
  let row = at % params.q;
  let code = packed_code(k, row, params.q, params.bits);
  w[at] = value_of(f32(code), grid[group[k] * params.q + row]);
}
