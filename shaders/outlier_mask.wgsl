// Which entries stay unrounded: bit (row mod 32) of mask[j, row / 32] is set where H is not 0.
//
// h: [p, q] f32; mask: [p, words] u32, words = ceil(q / 32)
//#include lib/item
struct Params { q: u32, p: u32, words: u32 }
@group(0) @binding(0) var<storage, read> h: array<f32>;
@group(0) @binding(1) var<storage, read_write> mask: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.words) { return; }
  let j = at / params.words;
  let first = (at % params.words) * 32u;
  var word = 0u;
  for (var i = 0u; i < 32u && first + i < params.q; i++) {
    if (h[j * params.q + first + i] != 0.0) { word |= 1u << i; }
  }
  mask[at] = word;
}
