// y = f32(b): weights of 16 bits, four elements per invocation
//
// b: [4 n] bf16 or f16;  y: [4 n] f32
//#include lib/item
//#include lib/operand
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n) { return; }
  y[at] = operand(at);
}
