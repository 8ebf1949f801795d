//#include lib/half
// The grid (scale, zero) that spans lo .. hi with codes 0 .. most, as AWQ's published code has it, without forcing zero into
// the range: s = max(hi − lo, 1e-5) / M, z = clip(−round(lo / s), 0, M), an integer.
fn awq_grid_of(lo: f32, hi: f32, most: f32, half: bool) -> vec2f {
  var scale = max(hi - lo, 1e-5) / most;
  if (half) { scale = max(half_of(scale), 5.9604644775390625e-8); }
  return vec2f(scale, clamp(-round(lo / scale), 0.0, most));
}
