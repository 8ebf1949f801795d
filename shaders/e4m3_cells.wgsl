// Cells of NVFP4 (lib/grid_nvfp4) with the scale of the tensor, a power of two by which weights up to span have block scales of at most 128:
// room to grow, and twelve binary digits below it before those of FP8 become coarse.
//
// grid: [groups · q] vec2f, cells; span: [1] u32, the bits of the largest |weight|
//#include lib/item
//#include lib/grid_nvfp4
struct Params { count: u32 }
@group(0) @binding(0) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(1) var<storage, read> span: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.count) { return; }
  let unit = power_above(bitcast<f32>(span[0]) / (6.0 * 128.0));
  let x = grid[at].x;
  grid[at] = rescaled(vec2f(x, unit), x, true);
}
