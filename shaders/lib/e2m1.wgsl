// The functions of lib/grid that the formats of FP4 share: value = x · e2m1(code), a code being the four bits of the number: sign, two of
// exponent, one of mantissa. There is no code for −0: what rounds to it gets +0. The grid adds cell_of and rescaled.
//#include lib/quantized
const E2M1 = array<f32, 8>(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0);

// How many middles between neighbours are below; a middle itself goes to the neighbour whose last bit is 0.
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  let t = abs(v / cell.x);
  let to_even = vec4f(vec4f(t) > vec4f(0.25, 1.25, 2.5, 5.0));
  let from_odd = vec3f(vec3f(t) >= vec3f(0.75, 1.75, 3.5));
  let size = dot(to_even, vec4f(1.0)) + dot(from_odd, vec3f(1.0));
  return size + select(0.0, 8.0, v < 0.0 && size > 0.0);
}

fn value_of(code: f32, cell: vec2f) -> f32 {
  let bits = u32(code);
  return select(cell.x, -cell.x, bits >= 8u) * E2M1[bits & 7u];
}

fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  return max(-lo, hi) * vec2f(-1.0, 1.0);
}

fn shrunk(range: vec2f, factors: vec2f) -> vec2f {
  return factors * range;
}

// The smallest power of two that is not below v; e8m0 reaches further than any weight.
fn power_above(v: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(clamp(v, 1e-30, 1e30)) + 0x7fffffu) & 0x7f800000u);
}
