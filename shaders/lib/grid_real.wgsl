// The functions of lib/grid for grids whose zero point is any number: x = scale, y = zero point. It is added before rounding
// (half-to-even), and zero need not be on the grid.
//   value = scale · (code − zero),  code = clamp(round(v / scale + zero), 0, M)
//#include lib/half
//#include lib/quantized
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  return clamp(round(v / max(cell.x, 1e-30) + cell.y), 0.0, most);
}

fn value_of(code: f32, cell: vec2f) -> f32 {
  return cell.x * (code - cell.y);
}

fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  if (symmetric) { return max(-lo, hi) * vec2f(-1.0, 1.0); }
  return vec2f(lo, hi);
}

// About its middle.
fn shrunk(range: vec2f, factors: vec2f) -> vec2f {
  let middle = (range.x + range.y) / 2.0;
  return middle + factors * (range - middle);
}

// Where lo = hi, the cell spans 0 .. lo, so that both ends are exact.
// half: both numbers are float16, the scale large enough for the zero point to be one.
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  let flat = range.x == range.y;
  let low = select(range.x, min(range.x, 0.0), flat);
  let high = select(range.y, max(range.y, 0.0), flat);
  let scale = (high - low) / most;
  if (half) {
    let stored = stored_scale(max(scale, abs(low) / 65000.0), true);
    return vec2f(stored, signed_half(-low / stored));
  }
  return vec2f(scale, -low / max(scale, 1e-30));
}

fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  return vec2f(stored_scale(scale, half), cell.y);
}
