//#include lib/half
// A grid of SpQR: x = scale, y = zero point, a real number. The zero point is added before rounding (half-to-even), and
// zero need not be on the grid.
fn code_of(v: f32, grid: vec2f, most: f32) -> f32 {
  return clamp(round(v / max(grid.x, 1e-30) + grid.y), 0.0, most);
}

fn value_of(code: f32, grid: vec2f) -> f32 {
  return grid.x * (code - grid.y);
}

// The grid that spans lo .. hi with codes 0 .. most; where lo = hi, it spans 0 .. lo, so that both ends are exact.
// half: both numbers are float16, the scale large enough for the zero point to be one.
fn grid_of(lo: f32, hi: f32, most: f32, half: bool) -> vec2f {
  let flat = lo == hi;
  let low = select(lo, min(lo, 0.0), flat);
  let high = select(hi, max(hi, 0.0), flat);
  var scale = (high - low) / most;
  if (half) {
    scale = max(half_of(max(scale, abs(low) / 65000.0)), 5.9604644775390625e-8);
    return vec2f(scale, signed_half(-low / scale));
  }
  return vec2f(scale, -low / max(scale, 1e-30));
}

fn signed_half(v: f32) -> f32 {
  return sign(v) * half_of(abs(v));
}
