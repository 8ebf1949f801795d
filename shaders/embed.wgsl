// y[t, :] = E[id_t, :] for the ids inside this row panel of the embedding
//
// ids: [tokens] u32;  b: [panel rows, d] f32, bf16 or f16, rows first .. first + count of E;  y: [tokens, d] f32
//#include lib/item
//#include lib/operand
struct Params { tokens: u32, d: u32, first: u32, count: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.tokens * params.d) { return; }
  let token = ids[at / params.d];
  if (token < params.first || token >= params.first + params.count) { return; }
  let e = (token - params.first) * params.d + at % params.d;
  let four = operand(e / 4u);
  y[at] = four[e % 4u];
}
