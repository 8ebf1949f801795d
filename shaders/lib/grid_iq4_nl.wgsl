// The functions of lib/grid for IQ4_NL of ggml: value = x · table[code], sixteen integers that are closer together around zero; y is
// not used. The scale x has either sign.
//#include lib/half
//#include lib/quantized
const TABLE = array<f32, 16>(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

// The middles between neighbours, four at a time: a code is how many of them are below. Half a code is decided upwards.
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  let t = vec4f(v / cell.x);
  let below = vec4f(t >= vec4f(-115.5, -93.5, -74.0, -57.0)) + vec4f(t >= vec4f(-42.0, -28.5, -16.0, -4.5))
    + vec4f(t >= vec4f(7.0, 19.0, 31.5, 45.5)) + vec4f(t >= vec4f(61.0, 79.0, 101.0, 3e38));
  return dot(below, vec4f(1.0));
}

fn value_of(code: f32, cell: vec2f) -> f32 {
  return cell.x * TABLE[u32(code)];
}

fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  let range = vec2f(min(lo, 0.0), max(hi, 0.0));
  return select(range, vec2f(-1.0, 1.0), all(range == vec2f()));
}

fn shrunk(range: vec2f, factors: vec2f) -> vec2f {
  return factors * range;
}

// The longer end goes where the table is.
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  let up = max(-range.x / 127.0, range.y / 113.0);
  let down = max(range.y / 127.0, -range.x / 113.0);
  return vec2f(signed_scale(select(-down, up, up <= down), half), 0.0);
}

fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  return vec2f(signed_scale(scale, half), 0.0);
}
