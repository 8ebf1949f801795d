// The functions of lib/grid for groups of super-blocks (src/quant/grids/super.ts), whose minima are at most 0. Cells as lib/affine has
// them; what they are made of, and how they are rescaled, is in lib/super.
//#include lib/affine
fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  return vec2f(min(lo, 0.0), max(hi, 0.0));
}
