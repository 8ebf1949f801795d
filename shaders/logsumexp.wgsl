// For each row and each block of 1024 vocabulary entries:
//   m = max x,  s = Σ e^(x − m),  top = entry of the largest logit (the first of equals; exact in f32 below 2^24 entries)
//   hit = logit of the target if it is in this block, else 0
// The host joins the blocks in float64: cross-entropy = ln Σ_blocks s e^m − target. Blocks start at the same entries
// however the head is cut into panels, so the sums do not depend on it. One invocation for each row and block.
//
// logits: [rows, ld] f32, columns 0 .. count are vocabulary entries first .. first + count; targets: [rows] u32
// parts: [rows, blocks] vec4f (m, s, top, hit), this call writes the `some` blocks from block0 on
//#include lib/item
//#include lib/vocabulary
struct Params { rows: u32, ld: u32, first: u32, count: u32, some: u32, blocks: u32, block0: u32 }
@group(0) @binding(0) var<storage, read> logits: array<vec4f>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

// Below any logit; exp of a difference to it is 0.
const NONE = vec4f(-3.0e38);

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  let row = at / params.some;
  let block = at % params.some;
  if (row >= params.rows) { return; }
  let start = row * (params.ld / 4u);
  let begin = block * QUADS;
  let count = min(QUADS, params.count / 4u - min(params.count / 4u, begin));
  // The last entries of the vocabulary, up to three; what lies beyond may be anything.
  var last = NONE;
  let left = params.count % 4u;
  let ends = left > 0u && begin + count == params.count / 4u && count < QUADS;
  if (ends) { last = select(NONE, logits[start + begin + count], vec4u(0u, 1u, 2u, 3u) < vec4u(left)); }

  var most = NONE;
  var seen = vec4u();
  for (var i = 0u; i < count; i++) {
    let x = logits[start + begin + i];
    seen = select(seen, vec4u(i), x > most);
    most = max(most, x);
  }
  seen = select(seen, vec4u(count), last > most);
  most = max(most, last);
  let top = max(max(most.x, most.y), max(most.z, most.w));
  let entries = select(vec4u(0xffffffffu), 4u * (begin + seen) + vec4u(0u, 1u, 2u, 3u), most == vec4f(top));
  let entry = params.first + min(min(entries.x, entries.y), min(entries.z, entries.w));

  var sum = exp(last - top);
  for (var i = 0u; i < count; i += RUN) {
    var run = vec4f();
    for (var k = i; k < min(i + RUN, count); k++) { run += exp(logits[start + begin + k] - top); }
    sum += run;
  }
  let token = targets[row] - params.first;
  var hit = 0.0;
  if (token < params.count && token / (4u * QUADS) == block) { hit = logits[start + token / 4u][token % 4u]; }
  parts[row * params.blocks + params.block0 + block] = vec4f(top, (sum.x + sum.y) + (sum.z + sum.w), f32(entry), hit);
}
