// y[t, :] = E[id_t, :] for the ids inside this row panel of the embedding
//
// table: [panel rows, d] f32, rows first .. first + count of E;  ids: [tokens] u32;  y: [tokens, d] f32
//#include lib/item
struct Params { tokens: u32, d: u32, first: u32, count: u32 }
@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.tokens * params.d) { return; }
  let token = ids[at / params.d];
  if (token < params.first || token >= params.first + params.count) { return; }
  y[at] = table[(token - params.first) * params.d + at % params.d];
}
