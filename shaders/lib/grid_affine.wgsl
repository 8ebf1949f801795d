// The functions of lib/grid for grids with a minimum of any value, as block formats store them.
//#include lib/affine
fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  return select(vec2f(lo, hi), vec2f(min(lo, 0.0), max(hi, 0.0)), symmetric);
}
