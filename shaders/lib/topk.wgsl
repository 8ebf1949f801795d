// State of a top-k selection: [0] bits of the k-th largest |score|, [1] least ~index among its equals that is still in,
// [2] how many of the equals are in, [3] whether some are not, [4] bits above which to list candidates for the next
// selection, [5] bits of λ (outlier_step.wgsl).
fn magnitude(v: f32) -> u32 { return bitcast<u32>(v) & 0x7fffffffu; }

fn magnitudes(v: vec4f) -> vec4u { return bitcast<vec4u>(v) & vec4u(0x7fffffffu); }

// Whether item `e` with score `v` is among the k largest; equals go by index, lower first.
fn chosen(v: f32, e: u32, kth: u32, least: u32) -> bool {
  let bits = magnitude(v);
  return bits > kth || (bits == kth && ~e >= least);
}

// The same of the items `e` .. `e` + 3.
fn chosen4(v: vec4f, e: u32, kth: u32, least: u32) -> vec4<bool> {
  let bits = magnitudes(v);
  return (bits > vec4u(kth)) | ((bits == vec4u(kth)) & (~(vec4u(e) + vec4u(0u, 1u, 2u, 3u)) >= vec4u(least)));
}
