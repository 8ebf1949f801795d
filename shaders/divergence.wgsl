// Beside the cross-entropy of the model at hand (see logsumexp), its Kullback–Leibler divergence from a reference, both
// streamed panel by panel over the vocabulary. With logits f of the reference and x of the model, per row:
//   KL(full ‖ quantized) = Σ p_f (f − x) − (lse f − lse x),   p_f = e^(f − lse f)
//
// full, logits: [rows, ld] f32, columns 0 .. count are vocabulary entries first .. first + count; targets: [rows] u32
// state: [rows, 2] vec4f: (m, s, d, top) of the reference with d = Σ e^(f − m)(f − x), (m, s, target logit, top) of the
// model; top = entry of the largest logit (exact in f32: vocabularies are below 2^24)
//#include lib/item
struct Params { rows: u32, ld: u32, first: u32, count: u32 }
@group(0) @binding(0) var<storage, read> full: array<f32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> state: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = item(id, groups, 32u);
  if (row >= params.rows) { return; }
  let start = row * params.ld;
  var a = state[2u * row];
  var b = state[2u * row + 1u];
  if (params.first == 0u) {
    a = vec4f(-3e38, 0.0, 0.0, 0.0);
    b = a;
  }
  let before = vec2f(a.x, b.x);
  for (var j = 0u; j < params.count; j++) {
    let f = full[start + j];
    let x = logits[start + j];
    if (f > a.x) { a.x = f; a.w = f32(params.first + j); }
    if (x > b.x) { b.x = x; b.w = f32(params.first + j); }
  }
  a.y *= exp(before.x - a.x);
  a.z *= exp(before.x - a.x);
  b.y *= exp(before.y - b.x);
  for (var j = 0u; j < params.count; j++) {
    let f = full[start + j];
    let x = logits[start + j];
    let e = exp(f - a.x);
    a.y += e;
    a.z += e * (f - x);
    b.y += exp(x - b.x);
  }
  let token = targets[row];
  if (token >= params.first && token < params.first + params.count) { b.z = logits[start + token - params.first]; }
  state[2u * row] = a;
  state[2u * row + 1u] = b;
}
