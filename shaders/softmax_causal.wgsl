// P[i, j] = exp(S[i, j] − max) / Σ_j exp(S[i, j] − max) over the visible keys i − span < j ≤ i, and 0 elsewhere, in place
//
// s: [matrices, t, t] f32 (t a multiple of 4); span: sliding window (t or more: none)
//#include lib/item
struct Params { rows: u32, t: u32, span: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = item(id, groups, 32u);
  if (row >= params.rows) { return; }
  let i = row % params.t;
  let start = row * params.t;
  let first = select(0u, i + 1u - params.span, i + 1u > params.span);
  var most = s[start + i];
  for (var j = first; j < i; j++) { most = max(most, s[start + j]); }
  var sum = 0.0;
  for (var j = first; j <= i; j++) {
    let e = exp(s[start + j] - most);
    s[start + j] = e;
    sum += e;
  }
  let inverse = 1.0 / sum;
  for (var j = 0u; j < first; j++) { s[start + j] = 0.0; }
  for (var j = first; j <= i; j++) { s[start + j] *= inverse; }
  for (var j = i + 1u; j < params.t; j++) { s[start + j] = 0.0; }
}
