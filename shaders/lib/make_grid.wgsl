// The grid (scale, zero) that spans the range lo .. hi with codes 0 .. most.
fn grid_of(lo: f32, hi: f32, most: f32, symmetric: bool, half: bool) -> vec2f {
  var scale = (hi - lo) / most;
  if (half) { scale = to_half(scale); }
  if (symmetric) { return vec2f(scale, (most + 1.0) / 2.0); }
  return vec2f(scale, clamp(round(-lo / scale), 0.0, most));
}

// The nearest float16 (ties to even), never 0; by integer arithmetic, since pack2x16float may flush subnormals.
fn to_half(v: f32) -> f32 {
  if (v < 6.103515625e-5) { return max(round(v * 16777216.0), 1.0) / 16777216.0; }
  let bits = bitcast<u32>(v);
  return min(bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u), 65504.0);
}
