// For inputs a, b, c, d each: ab + c, ab + cd, ((a + b) + c) + d, a / b, √|a|, 1 / √|b|, eᵃ, tanh b. Their last bits depend on
// whether the compiler fuses multiply and add, in which order it sums, and on how precise its functions are.
//
// x: [n] vec4f; y: [n, 2] vec4f
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.n) { return; }
  let v = x[id.x];
  y[2u * id.x] = vec4f(v.x * v.y + v.z, v.x * v.y + v.z * v.w, ((v.x + v.y) + v.z) + v.w, v.x / v.y);
  y[2u * id.x + 1u] = vec4f(sqrt(abs(v.x)), inverseSqrt(abs(v.y)), exp(v.x), tanh(v.y));
}
