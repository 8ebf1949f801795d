// peaks[slot] = max(peaks[slot], bits of |x_e|), e < n: the bits of non-negative floats are ordered like the floats. An
// invocation takes every lanes-th four.
//
// x: [n / 4] vec4f; peaks: [..] u32, bits of f32
struct Params { n: u32, lanes: u32, slot: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> peaks: array<atomic<u32>>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.lanes) { return; }
  var most = vec4u();
  for (var e = id.x; e < params.n / 4u; e += params.lanes) { most = max(most, bitcast<vec4u>(x[e]) & vec4u(0x7fffffffu)); }
  atomicMax(&peaks[params.slot], max(max(most.x, most.y), max(most.z, most.w)));
}
