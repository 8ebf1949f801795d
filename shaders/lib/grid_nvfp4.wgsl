// The functions of lib/grid for NVFP4: value = x · e2m1(code), where x / y is a positive number of FP8 (E4M3) and y, the scale of the whole
// tensor, a power of two. Cells that were just made have y = 0, and x of four significant bits in any range.
//#include lib/e2m1

// Four significant bits, half-to-even, where numbers below `least` have as many binary places as itself.
fn four_bits(v: f32, least: f32) -> f32 {
  let step = bitcast<f32>(bitcast<u32>(max(v, least)) & 0x7f800000u) / 8.0;
  return round(v / step) * step;
}

// v rounded to a positive number of E4M3: from 2^-9 in steps of it to 2^-6, then four significant bits, to 448.
fn e4m3(v: f32) -> f32 {
  return clamp(four_bits(v, 0.015625), 0.001953125, 448.0);
}

fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  return vec2f(four_bits(max(range.y / 6.0, 1e-30), 1e-30), 0.0);
}

fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  return vec2f(e4m3(scale / cell.y) * cell.y, cell.y);
}
