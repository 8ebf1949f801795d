// Rounding by the code_of and value_of of a grid, for kinds that have no faster way.
fn quantized(v: f32, cell: vec2f, most: f32) -> f32 {
  return value_of(code_of(v, cell, most), cell);
}

fn quantized4(v: vec4f, cells: mat2x4f, most: f32) -> vec4f {
  return vec4f(
    quantized(v.x, cells[0].xy, most),
    quantized(v.y, cells[0].zw, most),
    quantized(v.z, cells[1].xy, most),
    quantized(v.w, cells[1].zw, most),
  );
}
