// The functions of lib/grid for MXFP4 (OCP Microscaling Formats 1.0): value = x · e2m1(code), where x is a power of two; y is not used.
//#include lib/e2m1
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  return vec2f(power_above(range.y / 6.0), 0.0);
}

// The power of two that is nearest by its logarithm.
fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  return vec2f(power_above(scale * 0.70710678), 0.0);
}
