// The gates of a gated delta net (ops/delta.ts). Of each position i of a chunk, and each head:
//   beta_i = 1 / (1 + e^−b_i);   total_i = Σ_{j ≤ i} g_j over the chunk,  g_j = −e^decay · log(1 + e^(a_j + bias))
// Positions past the window's end have beta = 0 and g = 0.
//
// a, b: [windows · t, heads] f32; decay, bias: [heads] f32
// beta, total: [windows · chunks · chunk, heads] f32
//#include lib/item
struct Params { windows: u32, t: u32, chunks: u32, chunk: u32, heads: u32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> decay: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> total: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// log(1 + e^x), to a few roundings also where e^x is small beside 1.
fn softplus(x: f32) -> f32 {
  let e = exp(-abs(x));
  let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * 0.2))));
  return max(x, 0.0) + select(log(1.0 + e), series, e < 0.05);
}

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  if (at >= params.windows * params.chunks * params.heads) { return; }
  let head = at % params.heads;
  let part = at / params.heads;
  let first = (part % params.chunks) * params.chunk;
  let window = part / params.chunks;
  let rate = exp(decay[head]);
  var sum = 0.0;
  for (var i = 0u; i < params.chunk; i++) {
    let to = (part * params.chunk + i) * params.heads + head;
    if (first + i < params.t) {
      let source = (window * params.t + first + i) * params.heads + head;
      sum -= rate * softplus(a[source] + bias[head]);
      beta[to] = 1.0 / (1.0 + exp(-b[source]));
    } else {
      beta[to] = 0.0;
    }
    total[to] = sum;
  }
}
