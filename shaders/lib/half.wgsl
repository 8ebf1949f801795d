// The nearest float16 of v >= 0 (ties to even), at most 65504; by integer arithmetic, since pack2x16float may flush
// subnormals.
fn half_of(v: f32) -> f32 {
  if (v < 6.103515625e-5) { return round(v * 16777216.0) / 16777216.0; }
  let bits = bitcast<u32>(v);
  return min(bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u), 65504.0);
}

fn signed_half(v: f32) -> f32 {
  return sign(v) * half_of(abs(v));
}

// A scale > 0, rounded to float16 if it is stored so, but never to 0.
fn stored_scale(scale: f32, half: bool) -> f32 {
  if (!half) { return scale; }
  return max(half_of(scale), 5.9604644775390625e-8);
}

// The same of either sign.
fn signed_scale(scale: f32, half: bool) -> f32 {
  return select(1.0, -1.0, scale < 0.0) * stored_scale(abs(scale), half);
}
