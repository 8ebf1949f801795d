// B as four elements at a time, of f32; operand_bf16 and operand_f16 take its place for weights that stay as they are stored.
@group(0) @binding(1) var<storage, read> b: array<vec4f>;

fn operand(at: u32) -> vec4f { return b[at]; }
