// refitted[g, row] = grid[g, row] with its scale multiplied by m of the row
//
// grid, refitted: [groups, q] vec2f, cells; best: [q] vec4f, m = z (plus_judge.wgsl)
// half: scales are rounded to float16, as stored
//#include lib/item
//#include lib/grid
struct Params { q: u32, groups: u32, half: u32 }
@group(0) @binding(0) var<storage, read> grid: array<vec2f>;
@group(0) @binding(1) var<storage, read> best: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> refitted: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let cell = grid[at];
  refitted[at] = rescaled(cell, cell.x * best[at % params.q].z, params.half == 1u);
}
