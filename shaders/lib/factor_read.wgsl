// What four columns of x, from 4 i on, are multiplied by before they are rounded: what the rows of the right operand are without.
@group(0) @binding(4) var<storage, read> factors: array<vec4f>;

fn factored(x: vec4f, i: u32) -> vec4f { return x * factors[i]; }
