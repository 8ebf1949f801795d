// Streams the logits panel by panel over the vocabulary: per row the running maximum m, s = Σ e^(x − m), and the logit
// of the target token. Cross-entropy of the row in the end: m + ln s − target.
// top = entry of the largest logit, the first of equal ones (exact in f32: vocabularies are below 2^24)
//
// logits: [rows, ld] f32, columns 0 .. count are vocabulary entries first .. first + count;  targets: [rows] u32
// state: [rows] vec4f (m, s, target logit, top); starts with m = −3e38, s = 0
//#include lib/item
struct Params { rows: u32, ld: u32, first: u32, count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = item(id, groups, 32u);
  if (row >= params.rows) { return; }
  let start = row * params.ld;
  var old = state[row];
  if (params.first == 0u) { old = vec4f(-3e38, 0.0, 0.0, 0.0); }
  var most = old.x;
  var top = old.w;
  for (var j = 0u; j < params.count; j++) {
    let x = logits[start + j];
    if (x > most) { most = x; top = f32(params.first + j); }
  }
  // Four partial sums: shorter dependency chains and less rounding than one.
  var sum = vec4f(old.y * exp(old.x - most), 0.0, 0.0, 0.0);
  let whole = params.count & ~3u;
  for (var j = 0u; j < whole; j += 4u) {
    let at = start + j;
    sum += exp(vec4f(logits[at], logits[at + 1u], logits[at + 2u], logits[at + 3u]) - most);
  }
  for (var j = whole; j < params.count; j++) { sum.x += exp(logits[start + j] - most); }
  var hit = old.z;
  let token = targets[row];
  if (token >= params.first && token < params.first + params.count) { hit = logits[start + token - params.first]; }
  state[row] = vec4f(most, sum.x + sum.y + sum.z + sum.w, hit, top);
}
