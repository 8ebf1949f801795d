// P[r, j] = exp(S[r, j] − max) / Σ_j exp(S[r, j] − max) over the keys i − span < j ≤ i that row r sees at its position
// i = first + r, and 0 elsewhere, in place; with ALIBI, S[r, j] + alibi[head, j] instead of S[r, j]
//
// s: [matrices, queries, keys] f32 (keys a multiple of 4); span: sliding window (keys or more: none)
// alibi: [heads, keys] f32; matrix m is that of head head0 + m mod heads      (anything without ALIBI)
//#include lib/item
//#include lib/run
override ALIBI: bool = false;
struct Params { rows: u32, queries: u32, keys: u32, first: u32, span: u32, heads: u32, head0: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<vec4f>;
@group(0) @binding(1) var<storage, read> alibi: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

// Below any score; exp of a difference to it is 0.
const HIDDEN = vec4f(-3.0e38);

// The scores of keys 4 at … 4 at + 3, those hidden from query i far below all others.
fn scores(start: u32, bias: u32, at: u32, first: u32, i: u32) -> vec4f {
  var value = s[start + at];
  if (ALIBI) { value += alibi[bias + at]; }
  let j = vec4u(4u * at) + vec4u(0u, 1u, 2u, 3u);
  return select(HIDDEN, value, (j >= vec4u(first)) & (j <= vec4u(i)));
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = item(id, groups, 32u);
  if (row >= params.rows) { return; }
  let i = params.first + row % params.queries;
  let n = params.keys / 4u;
  let start = row * n;
  let bias = (params.head0 + (row / params.queries) % params.heads) * n;
  let oldest = select(0u, i + 1u - params.span, i + 1u > params.span);
  let begin = oldest / 4u;
  let past = i / 4u + 1u;
  var most = HIDDEN;
  for (var at = begin; at < past; at++) { most = max(most, scores(start, bias, at, oldest, i)); }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var sum = vec4f();
  for (var r0 = begin; r0 < past; r0 += RUN) {
    var run = vec4f();
    for (var at = r0; at < min(r0 + RUN, past); at++) {
      let e = exp(scores(start, bias, at, oldest, i) - top);
      s[start + at] = e;
      run += e;
    }
    sum += run;
  }
  let inverse = 1.0 / (sum.x + sum.y + sum.z + sum.w);
  for (var at = 0u; at < begin; at++) { s[start + at] = vec4f(); }
  for (var at = begin; at < past; at++) { s[start + at] *= inverse; }
  for (var at = past; at < n; at++) { s[start + at] = vec4f(); }
}
