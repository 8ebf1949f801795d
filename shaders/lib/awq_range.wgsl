// The range that a grid has to span for weights between lo and hi, as in AWQ's published code: it need not contain zero, and
// it is never narrower than 1e-5.
fn awq_range(lo: f32, hi: f32) -> vec2f {
  return vec2f(lo, max(hi, lo + 1e-5));
}
