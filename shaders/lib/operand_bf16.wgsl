// B as four elements at a time, of bf16, two in a word: the upper halves of the f32 with the same value.
@group(0) @binding(1) var<storage, read> b: array<vec2u>;

fn operand(at: u32) -> vec4f {
  let w = b[at];
  return bitcast<vec4f>(vec4u(w.x << 16u, w.x & 0xffff0000u, w.y << 16u, w.y & 0xffff0000u));
}
