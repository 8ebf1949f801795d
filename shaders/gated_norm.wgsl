// z_r ← weight ⊙ x_r / √(mean(x_r²) + eps) ⊙ silu(z_r),  silu(z) = z / (1 + e^−z), for each head r of each position
//
// x: [windows · padded, heads · d] f32, of which the first t rows of a window count; z: [windows · t, heads · d] f32; weight: [d] f32
//#include lib/item
struct Params { windows: u32, t: u32, padded: u32, heads: u32, d: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> z: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  if (at >= params.windows * params.t * params.heads) { return; }
  let n = params.d / 4u;
  let row = at / params.heads;
  let from_row = (row / params.t) * params.padded + row % params.t;
  let start = (from_row * params.heads + at % params.heads) * n;
  var sum = 0.0;
  for (var c = 0u; c < n; c++) { sum += dot(x[start + c], x[start + c]); }
  let scale = 1.0 / sqrt(sum / f32(params.d) + params.eps);
  for (var c = 0u; c < n; c++) {
    let gate = z[at * n + c];
    z[at * n + c] = x[start + c] * scale * weight[c] * (gate / (1.0 + exp(-gate)));
  }
}
