// Super-blocks: `count` groups of a row whose cells are x_k = d · s_k, y_k = −m · t_k (lib/affine) with float16 d and m, and integers
//   s_k in least .. top,  t_k in 0 .. top;  least < 0 for types without minima, whose y_k = −middle · x_k
// Their products are exact in float32, so d and m are found again from the cells: the finest that divide all of them.
// The shader binds params with least, top and middle, −(least code) of types without minima.
//#include lib/half
fn divides(unit: f32, value: f32, least: f32) -> bool {
  let times = round(value / unit);
  return times >= least && times <= params.top && unit * times == value;
}

// The cell of these units and multiples.
fn cell_from(unit: vec2f, times: vec2f) -> vec2f {
  let x = unit.x * times.x;
  return vec2f(x, select(-unit.y * times.y, -params.middle * x, params.least < 0.0));
}

// What a cell is a multiple of its units by; 0 where the unit is.
fn times_of(cell: vec2f, unit: vec2f) -> vec2f {
  let t = vec2f(round(cell.x / unit.x), round(-cell.y / unit.y));
  return select(t, vec2f(), unit == vec2f());
}
