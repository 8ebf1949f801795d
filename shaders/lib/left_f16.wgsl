// A as four elements at a time, of f16, two in a word, each row less its scale, a power of two (narrow.wgsl). There are no subnormals,
// which unpack2x16float may flush.
@group(0) @binding(0) var<storage, read> a: array<vec2u>;
@group(0) @binding(4) var<storage, read> scales: array<f32>;

fn left(at: u32) -> vec4f {
  let w = a[at];
  return vec4f(unpack2x16float(w.x), unpack2x16float(w.y));
}

// A sum over a row of A as it is in C, and back; `row` is counted from the first of this call.
fn scaled(sum: vec4f, row: u32) -> vec4f { return scales[params.row0 + row] * sum; }
fn unscaled(value: vec4f, row: u32) -> vec4f { return value / scales[params.row0 + row]; }
