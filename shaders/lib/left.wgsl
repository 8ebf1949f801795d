// A as four elements at a time, of f32; left_f16 takes its place for inputs that were rounded (narrow.wgsl).
@group(0) @binding(0) var<storage, read> a: array<vec4f>;

fn left(at: u32) -> vec4f { return a[at]; }

// A sum over a row of A as it is in C, and back.
fn scaled(sum: vec4f, row: u32) -> vec4f { return sum; }
fn unscaled(value: vec4f, row: u32) -> vec4f { return value; }
