// A top-k selection under way: [0] bits of the k-th largest |score|, [1] least ~index among its equals that is still in,
// [2] how many of the equals are in, [3] whether some are not, [4] bits above which to list candidates for the next
// selection, [5] bits of λ (outlier_step.wgsl).
fn magnitude(v: f32) -> u32 { return bitcast<u32>(v) & 0x7fffffffu; }

// Whether item `e` with score `v` is among the k largest; equals go by index, lower first.
fn chosen(v: f32, e: u32, kth: u32, least: u32) -> bool {
  let bits = magnitude(v);
  return bits > kth || (bits == kth && ~e >= least);
}
