// scores[j] = D_j Var_i(x[j, i]), unbiased, one workgroup for each column of W; τ of SpQR is a multiple of their mean.
//
// x: [p, q] f32 (input-major, processing order); root: [p] f32, √D_j; scores: [p] f32
struct Params { q: u32, p: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> root: array<f32>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let j = group.x + group.y * groups.x;
  let live = j < params.p;
  var sum = 0.0;
  if (live) { for (var i = lane; i < params.q; i += 64u) { sum += x[j * params.q + i]; } }
  let mean = total(sum, lane) / f32(params.q);
  var squares = 0.0;
  if (live) {
    for (var i = lane; i < params.q; i += 64u) {
      let d = x[j * params.q + i] - mean;
      squares += d * d;
    }
  }
  let all = total(squares, lane);
  if (lane == 0u && live) { scores[j] = all / (f32(params.q) - 1.0) * root[j] * root[j]; }
}

fn total(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < 64u; i++) { sum += partial[i]; }
  return sum;
}
