// Cells with the d and m of every super-block times a factor (lib/super), for `copies` factors side by side:
//   out[k, c · q + row] = the cell grid[k, row], with d and m multiplied by factor[offset + by_row · row + by_copy · c]
//
// grid: [blocks · count, q] vec2f, cells; units: [blocks, q] vec2f; factor: [..] f32; out: [blocks · count, copies · q] vec2f
//#include lib/item
//#include lib/super
struct Params {
  q: u32, blocks: u32, count: u32, least: f32, top: f32, middle: f32,
  copies: u32, offset: u32, by_row: u32, by_copy: u32,
}
@group(0) @binding(0) var<storage, read> grid: array<vec2f>;
@group(0) @binding(1) var<storage, read> units: array<vec2f>;
@group(0) @binding(2) var<storage, read> factor: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec2f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let wide = params.copies * params.q;
  if (at >= params.blocks * params.count * wide) { return; }
  let group = at / wide;
  let copy = at % wide / params.q;
  let row = at % params.q;
  let unit = units[group / params.count * params.q + row];
  let scaled = unit * factor[params.offset + params.by_row * row + params.by_copy * copy];
  out[at] = cell_from(vec2f(signed_half(scaled.x), signed_half(scaled.y)), times_of(grid[group * params.q + row], unit));
}
