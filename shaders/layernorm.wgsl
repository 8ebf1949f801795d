// y_t = weight ⊙ (x_t − mean(x_t)) / √(var(x_t) + eps) + bias,  var = mean((x_t − mean)²)      (one invocation per row)
//
// x, y: [rows, cols] f32; weight, bias: [cols] f32
//#include lib/item
//#include lib/run
struct Params { rows: u32, cols: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let row = item(id, groups, 32u);
  if (row >= params.rows) { return; }
  let n = params.cols / 4u;
  let start = row * n;
  var sum = vec4f();
  for (var r0 = 0u; r0 < n; r0 += RUN) {
    var run = vec4f();
    for (var i = r0; i < min(r0 + RUN, n); i++) { run += x[start + i]; }
    sum += run;
  }
  let mean = (sum.x + sum.y + sum.z + sum.w) / f32(params.cols);
  // From the differences, not from Σ x²: rows far from zero would lose all digits.
  var square = vec4f();
  for (var r0 = 0u; r0 < n; r0 += RUN) {
    var run = vec4f();
    for (var i = r0; i < min(r0 + RUN, n); i++) { let v = x[start + i] - mean; run += v * v; }
    square += run;
  }
  let scale = 1.0 / sqrt((square.x + square.y + square.z + square.w) / f32(params.cols) + params.eps);
  for (var i = 0u; i < n; i++) { y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i]; }
}
