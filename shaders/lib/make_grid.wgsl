//#include lib/half
// The grid (scale, zero) that spans the range lo .. hi with codes 0 .. most.
fn grid_of(lo: f32, hi: f32, most: f32, symmetric: bool, half: bool) -> vec2f {
  let scale = stored_scale((hi - lo) / most, half);
  if (symmetric) { return vec2f(scale, (most + 1.0) / 2.0); }
  return vec2f(scale, clamp(round(-lo / scale), 0.0, most));
}

// Rounded to float16 if it is stored so, but never to 0.
fn stored_scale(scale: f32, half: bool) -> f32 {
  if (!half) { return scale; }
  return max(half_of(scale), 5.9604644775390625e-8);
}
