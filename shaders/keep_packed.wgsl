// An earlier result takes the place of codes and what, if the error has grown since (change > 0): without the host
//   codes[k, n] = code[k, n],  what[k, n] = value(code[k, n]) on the grid of g_k and n
//
// change: [1] f32; packed: [ceil(p · bits / 32), q] u32, the earlier codes as pack.wgsl writes them; group: [p] u32
// grid: [groups, q] vec2f; codes: [p, q] u32; what: [p, q] f32
//#include lib/item
//#include lib/grid
//#include lib/packed
struct Params { q: u32, p: u32, bits: u32 }
@group(0) @binding(0) var<storage, read> change: array<f32>;
@group(0) @binding(1) var<storage, read> packed: array<u32>;
@group(0) @binding(2) var<storage, read> group: array<u32>;
@group(0) @binding(3) var<storage, read> grid: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> codes: array<u32>;
@group(0) @binding(5) var<storage, read_write> what: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.q || !(change[0] > 0.0)) { return; }
  let k = at / params.q;
  let row = at % params.q;
  let code = packed_code(k, row, params.q, params.bits);
  codes[at] = code;
  what[at] = value_of(f32(code), grid[group[k] * params.q + row]);
}
