// The nearest float16 of v >= 0 (ties to even), at most 65504; by integer arithmetic, since pack2x16float may flush
// subnormals.
fn half_of(v: f32) -> f32 {
  if (v < 6.103515625e-5) { return round(v * 16777216.0) / 16777216.0; }
  let bits = bitcast<u32>(v);
  return min(bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u), 65504.0);
}
