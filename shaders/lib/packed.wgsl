// Code k of output `row` in a bit stream as pack.wgsl writes it, one stream of q per output.
//
// The shader binds packed: [ceil(p · bits / 32), q] u32.
fn packed_code(k: u32, row: u32, q: u32, bits: u32) -> u32 {
  let bit = k * bits;
  let word = (bit / 32u) * q + row;
  let shift = bit % 32u;
  var code = packed[word] >> shift;
  if (shift + bits > 32u) { code |= packed[word + q] << (32u - shift); }
  return code & ((1u << bits) - 1u);
}
