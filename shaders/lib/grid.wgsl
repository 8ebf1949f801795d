// A quantization grid of one row and group: x = scale, y = zero point (an integer).
// Rounding is half-to-even (WGSL `round`); v / s is rounded first, then the integer zero point is added.
fn code_of(v: f32, grid: vec2f, most: f32) -> f32 {
  return clamp(round(v / grid.x) + grid.y, 0.0, most);
}

fn value_of(code: f32, grid: vec2f) -> f32 {
  return grid.x * (code - grid.y);
}

fn quantized(v: f32, grid: vec2f, most: f32) -> f32 {
  return value_of(code_of(v, grid, most), grid);
}

// The same of four rows, two grids a column of `cells`.
fn quantized4(v: vec4f, cells: mat2x4f, most: f32) -> vec4f {
  let scale = vec4f(cells[0].xz, cells[1].xz);
  let zero = vec4f(cells[0].yw, cells[1].yw);
  return scale * (clamp(round(v / scale) + zero, vec4f(), vec4f(most)) - zero);
}
