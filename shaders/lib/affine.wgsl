// Rounding to cells of a scale x, of either sign, and a minimum y of any value:
//   value = x · code + y,  code = clamp(round((v − y) / x), 0, M), 0 where x = 0
// Symmetric: y = −(M + 1) / 2 · x, and the sign of x is that for which the longer end of the range has one code more.
// A float16 times a code is exact in float32, so the value has one rounding, at most, wherever it is computed.
//#include lib/half
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  return select(clamp(round((v - cell.y) / cell.x), 0.0, most), 0.0, cell.x == 0.0);
}

fn value_of(code: f32, cell: vec2f) -> f32 {
  return cell.x * code + cell.y;
}

fn quantized(v: f32, cell: vec2f, most: f32) -> f32 {
  return value_of(code_of(v, cell, most), cell);
}

fn quantized4(v: vec4f, cells: mat2x4f, most: f32) -> vec4f {
  let x = vec4f(cells[0].xz, cells[1].xz);
  let y = vec4f(cells[0].yw, cells[1].yw);
  return x * select(clamp(round((v - y) / x), vec4f(), vec4f(most)), vec4f(), x == vec4f()) + y;
}

// About its middle, or about zero.
fn shrunk(range: vec2f, factors: vec2f) -> vec2f {
  let middle = select((range.x + range.y) / 2.0, 0.0, range.x <= 0.0 && range.y >= 0.0);
  return middle + factors * (range - middle);
}

// half: both numbers are float16. Equal weights get a scale of their own size, so that their minimum is exact enough.
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  if (symmetric) {
    let middle = (most + 1.0) / 2.0;
    // Codes reach from −middle to middle − 1.
    let up = max(-range.x / middle, range.y / (middle - 1.0));
    let down = max(range.y / middle, -range.x / (middle - 1.0));
    let x = signed_scale(select(-down, up, up <= down), half);
    return vec2f(x, -middle * x);
  }
  let x = stored_scale((range.y - range.x) / most, half);
  return vec2f(x, select(range.x, signed_half(range.x), half));
}

// The zero point −y / x stays, exactly where it is an integer.
fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  let ratio = cell.y / cell.x;
  let whole = round(ratio);
  let x = signed_scale(scale, half);
  let y = select(ratio, whole, abs(ratio - whole) < 1e-4) * x;
  return vec2f(x, select(y, signed_half(y), half));
}
