// x = x/2 · (1 + tanh(u)),  u = 0.79788456 · x · (1 + 0.044715 · x²), in place; x/2 · (1 + tanh u) = x / (1 + e^−2u)
//
// x: [n / 4] vec4f
//#include lib/item
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n / 4u) { return; }
  let v = x[at];
  // WGSL may overflow to anything: e^80 does not, and the result is x or 0 to float32 long before.
  x[at] = v / (1.0 + exp(clamp(-2.0 * 0.79788456 * v * (1.0 + 0.044715 * v * v), vec4f(-80.0), vec4f(80.0))));
}
