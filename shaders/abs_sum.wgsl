// sums[j] += Σ_t |x[first + t, j]|, t < count      (one invocation per column)
//
// x: [.., cols] f32; sums: [cols] f32
//#include lib/item
//#include lib/run
struct Params { first: u32, count: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let j = item(id, groups, 64u);
  if (j >= params.cols) { return; }
  var sum = 0.0;
  for (var r0 = 0u; r0 < params.count; r0 += RUN) {
    var run = 0.0;
    for (var t = r0; t < min(r0 + RUN, params.count); t++) { run += abs(x[(params.first + t) * params.cols + j]); }
    sum += run;
  }
  sums[j] += sum;
}
