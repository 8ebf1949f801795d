// Separates the unrounded weights: H = V − Q(V) where masked, 0 elsewhere (there V is on the grid already).
//
// v, h: [p, q] f32 in processing order; mask: [p, words] u32 of outlier_mask; columns: [p] vec2u (group, bits of Σ_jj)
// grid: [groups, q] vec2f (scale, zero)
//#include lib/item
//#include lib/grid
struct Params { q: u32, p: u32, words: u32, most: f32 }
@group(0) @binding(0) var<storage, read> v: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> columns: array<vec2u>;
@group(0) @binding(3) var<storage, read> grid: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> h: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.q) { return; }
  let j = at / params.q;
  let row = at % params.q;
  var rest = 0.0;
  if (((mask[j * params.words + row / 32u] >> (row % 32u)) & 1u) == 1u) {
    rest = v[at] - quantized(v[at], grid[columns[j].x * params.q + row], params.most);
  }
  h[at] = rest;
}
