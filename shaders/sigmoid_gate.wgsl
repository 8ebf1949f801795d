// x ← x ⊙ 1 / (1 + e^−gate), in place
//
// x, gate: [n / 4] vec4f
//#include lib/item
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> gate: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n / 4u) { return; }
  x[at] /= 1.0 + exp(-gate[at]);
}
