// Decay within chunks, from their start onto queries and to their end onto keys (ops/delta.ts), in place:
//   q_i ← e^total_i q_i;   k_i ← e^(total_end − total_i) k_i,  end: the last position of i's chunk
//
// q, k: [rows, heads · dk] f32; total: [rows, heads] f32; rows a multiple of chunk, dk of 4
//#include lib/item
struct Params { rows: u32, chunk: u32, heads: u32, dk: u32 }
@group(0) @binding(0) var<storage, read_write> q: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> total: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let d = params.dk / 4u;
  if (at >= params.rows * params.heads * d) { return; }
  let entry = at / d;
  let row = entry / params.heads;
  let end = ((row / params.chunk + 1u) * params.chunk - 1u) * params.heads + entry % params.heads;
  q[at] *= exp(total[entry]);
  k[at] *= exp(total[end] - total[entry]);
}
