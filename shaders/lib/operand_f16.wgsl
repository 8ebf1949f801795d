// B as four elements at a time, of finite f16, two in a word. By integer arithmetic: unpack2x16float may flush subnormals.
@group(0) @binding(1) var<storage, read> b: array<vec2u>;

fn operand(at: u32) -> vec4f {
  let w = b[at];
  let bits = vec4u(w.x & 0xffffu, w.x >> 16u, w.y & 0xffffu, w.y >> 16u);
  let magnitude = bits & vec4u(0x7fffu);
  let normal = (magnitude << vec4u(13u)) + vec4u(0x38000000u);
  let subnormal = bitcast<vec4u>(vec4f(magnitude) * 5.9604644775390625e-8);
  return bitcast<vec4f>(select(normal, subnormal, magnitude < vec4u(0x400u)) | ((bits & vec4u(0x8000u)) << vec4u(16u)));
}
