// x = cap · tanh(x / cap), in place
//
// x: [n / 4] vec4f
//#include lib/item
struct Params { n: u32, cap: f32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n / 4u) { return; }
  // tanh may overflow on its way; from 10 on it is 1 to float32.
  x[at] = params.cap * tanh(clamp(x[at] / params.cap, vec4f(-10.0), vec4f(10.0)));
}
