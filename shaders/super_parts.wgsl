// The weights of a super-block as parts of its units (lib/super), Ŵ = d U + m V:
//   U = s · c,  V = −t;   types without minima: U = s · (c − middle), V = 0
//
// what: [p, q] f32; grid: [groups, q] vec2f, cells; units: [blocks, q] vec2f; u, v: [length, q] f32; j0: the first input
//#include lib/item
//#include lib/affine
//#include lib/super
struct Params { q: u32, size: u32, length: u32, j0: u32, block: u32, least: f32, top: f32, middle: f32, most: f32 }
@group(0) @binding(0) var<storage, read> what: array<f32>;
@group(0) @binding(1) var<storage, read> grid: array<vec2f>;
@group(0) @binding(2) var<storage, read> units: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> u: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.length * params.q) { return; }
  let row = at % params.q;
  let j = params.j0 + at / params.q;
  let cell = grid[j / params.size * params.q + row];
  let times = times_of(cell, units[params.block * params.q + row]);
  let signed = params.least < 0.0;
  u[at] = times.x * (code_of(what[j * params.q + row], cell, params.most) - select(0.0, params.middle, signed));
  v[at] = select(-times.y, 0.0, signed);
}
