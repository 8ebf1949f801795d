// The state of a gated delta net over a chunk's decay (ops/delta.ts), in place:  s[window, head] ← e^(total at the chunk's end) s[window, head]
//
// s: [windows, heads, size] f32; total: [windows · padded, heads] f32; end: the chunk's last position in its window; size a multiple of 4
//#include lib/item
struct Params { windows: u32, heads: u32, size: u32, padded: u32, end: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<vec4f>;
@group(0) @binding(1) var<storage, read> total: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let n = params.size / 4u;
  if (at >= params.windows * params.heads * n) { return; }
  let head = (at / n) % params.heads;
  let window = at / (n * params.heads);
  s[at] *= exp(total[(window * params.padded + params.end) * params.heads + head]);
}
