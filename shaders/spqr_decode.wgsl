// codes[π_i, :] = y[i, :],  what[π_i, :] = value(code)
// back from processing order (π = order) to the original order of the inputs; groups are runs of the processing order.
//
// y: [p, q] u32, codes in processing order; order: [p] u32; grid: [groups, q] vec2f, cells
// codes: [p, q] u32; what: [p, q] f32
//#include lib/item
//#include lib/grid
struct Params { q: u32, p: u32, size: u32 }
@group(0) @binding(0) var<storage, read> y: array<u32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> grid: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> codes: array<u32>;
@group(0) @binding(4) var<storage, read_write> what: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.q) { return; }
  let i = at / params.q;
  let row = at % params.q;
  let code = y[at];
  let to = order[i] * params.q + row;
  codes[to] = code;
  what[to] = value_of(f32(code), grid[i / params.size * params.q + row]);
}
