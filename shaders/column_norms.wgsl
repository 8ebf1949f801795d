// norms[j] = Σ_row c[j, row]²: one workgroup for each column of W.
//
// c: [p, q] f32 (q a multiple of 4); norms: [p] f32
struct Params { q: u32, p: u32 }
@group(0) @binding(0) var<storage, read> c: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let j = group.x + group.y * groups.x;
  var sum = 0.0;
  if (j < params.p) {
    let across = params.q / 4u;
    for (var i = lane; i < across; i += 64u) {
      let value = c[j * across + i];
      sum += dot(value, value);
    }
  }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane > 0u || j >= params.p) { return; }
  for (var i = 1u; i < 64u; i++) { sum += partial[i]; }
  norms[j] = sum;
}
