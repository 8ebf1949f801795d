// Packs codes into a little-endian bit stream along the inputs, one stream per output: code k at bit bits · k.
// The same words as GPTQ's qweight for 2, 3, 4 and 8 bits.
//
// codes: [p, q] u32; packed: [ceil(p · bits / 32), q] u32 from element `start` on
//#include lib/item
struct Params { q: u32, p: u32, bits: u32, words: u32, start: u32 }
@group(0) @binding(0) var<storage, read> codes: array<u32>;
@group(0) @binding(1) var<storage, read_write> packed: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.words * params.q) { return; }
  let start = (at / params.q) * 32u;
  let row = at % params.q;
  var word = 0u;
  for (var k = start / params.bits; k < params.p && k * params.bits < start + 32u; k++) {
    let code = codes[k * params.q + row];
    let bit = k * params.bits;
    if (bit >= start) { word |= code << (bit - start); } else { word |= code >> (start - bit); }
  }
  packed[params.start + at] = word;
}
