// candidates[g, c·q + row] = grid[g, row] with its scale multiplied by multiple_c
//
// grid: [groups, q] vec2f, cells; multiple: [copies] f32; candidates: [groups, copies·q] vec2f
// half: scales are rounded to float16, as stored
//#include lib/item
//#include lib/grid
struct Params { q: u32, groups: u32, copies: u32, half: u32 }
@group(0) @binding(0) var<storage, read> grid: array<vec2f>;
@group(0) @binding(1) var<storage, read> multiple: array<f32>;
@group(0) @binding(2) var<storage, read_write> candidates: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let wide = params.copies * params.q;
  if (at >= params.groups * wide) { return; }
  let cell = grid[at / wide * params.q + at % params.q];
  candidates[at] = rescaled(cell, cell.x * multiple[at % wide / params.q], params.half == 1u);
}
