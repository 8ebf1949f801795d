// v^2.4 of v >= 0 to 2e-7, by integer arithmetic: pow differs between devices, and the result of a search must not.
// With v = m 2^e, 1 <= m < 2, the exponent 12 e / 5 has a whole part and r fifths, and 2^(r/5) m^2.4 comes from a table by
// linear interpolation. The float that is made of it has 24 bits, so that its product with a power of two is exact.
// Below 2^-42 it is 0.
//
// The shader binds powers: [5, 2049] u32, round(2^27 · 2^(r/5) · (1 + i / 2048)^2.4).
fn power(v: f32) -> f32 {
  let bits = bitcast<u32>(v);
  if (bits < 0x2a800000u) { return 0.0; }
  // 5 divides 12 · 130.
  let fifths = 12u * ((bits >> 23u) + 3u);
  let at = (fifths % 5u) * 2049u + ((bits >> 12u) & 0x7ffu);
  let low = powers[at];
  let value = low + (((powers[at + 1u] - low) * (bits & 0xfffu)) >> 12u);
  let drop = firstLeadingBit(value) - 23u;
  // 2^(whole + drop − 27), whole = fifths / 5 − 312.
  let nearest = (value + (1u << (drop - 1u))) >> drop;
  return f32(nearest) * bitcast<f32>((fifths / 5u + drop - 212u) << 23u);
}
