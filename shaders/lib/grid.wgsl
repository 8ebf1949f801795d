// The functions that define a grid, here uniform integers: a cell of two numbers for each row and group, with
//   value = scale · (code − zero),  code = clamp(round(v / scale) + zero, 0, M),  M = most;  x = scale, y = zero, an integer
// Rounding is half-to-even (WGSL `round`); v / s is rounded first, then the integer zero point is added.
// Other kinds of grid replace this include by one with the same functions (src/quant/grids).
//#include lib/half
fn code_of(v: f32, cell: vec2f, most: f32) -> f32 {
  return clamp(round(v / cell.x) + cell.y, 0.0, most);
}

fn value_of(code: f32, cell: vec2f) -> f32 {
  return cell.x * (code - cell.y);
}

// v rounded to the grid.
fn quantized(v: f32, cell: vec2f, most: f32) -> f32 {
  return value_of(code_of(v, cell, most), cell);
}

// The same four times, two cells a column of `cells`.
fn quantized4(v: vec4f, cells: mat2x4f, most: f32) -> vec4f {
  let scale = vec4f(cells[0].xz, cells[1].xz);
  let zero = vec4f(cells[0].yw, cells[1].yw);
  return scale * (clamp(round(v / scale) + zero, vec4f(), vec4f(most)) - zero);
}

// The range (lo, hi) that a cell has to span for weights between lo and hi: zero is in it, symmetric in its middle.
fn range_of(lo: f32, hi: f32, symmetric: bool) -> vec2f {
  var range = vec2f(min(0.0, lo), max(0.0, hi));
  if (symmetric) {
    range.y = max(-range.x, range.y);
    if (range.x < 0.0) { range.x = -range.y; }
  }
  return select(range, vec2f(-1.0, 1.0), all(range == vec2f()));
}

// A range made smaller by one factor an end.
fn shrunk(range: vec2f, factors: vec2f) -> vec2f {
  return factors * range;
}

// The cell that spans a range. half: it is stored in float16 numbers.
fn cell_of(range: vec2f, most: f32, symmetric: bool, half: bool) -> vec2f {
  let scale = stored_scale((range.y - range.x) / most, half);
  if (symmetric) { return vec2f(scale, (most + 1.0) / 2.0); }
  return vec2f(scale, clamp(round(-range.x / scale), 0.0, most));
}

// A cell with another scale: every value grows in proportion to it.
fn rescaled(cell: vec2f, scale: f32, half: bool) -> vec2f {
  return vec2f(stored_scale(scale, half), cell.y);
}
