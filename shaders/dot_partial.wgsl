// out[i] = Σ x_e y_e over the i-th of `parts` interleaved slices: the first half of a long dot product, which the host
// finishes in float64. `further`: added to the previous values, for operands in several row panels.
//
// x, y: [n / 4] vec4f; out: [parts] f32
//#include lib/run
struct Params { n: u32, parts: u32, further: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.parts) { return; }
  var sum = vec4f();
  for (var r0 = id.x; r0 < params.n / 4u; r0 += RUN * params.parts) {
    var run = vec4f();
    for (var e = r0; e < min(r0 + RUN * params.parts, params.n / 4u); e += params.parts) { run += x[e] * y[e]; }
    sum += run;
  }
  var before = 0.0;
  if (params.further == 1u) { before = out[id.x]; }
  out[id.x] = before + (sum.x + sum.y + sum.z + sum.w);
}
