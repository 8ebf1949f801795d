// One digit of a radix select: bins[d] += number of items whose key has digit d at `shift` and, above it, the digits
// found so far. Keys: half 0, the bits of |score|, largest first; half 1, ~index of the items that equal the k-th, so that
// lower indices go first. Items are those in the list if it certainly contains the k largest, else all n.
//
// scores: [n] f32; list: [1 + capacity] u32 (count, indices); state: [8] u32 of lib/topk; bins: [256] u32, zero before
//#include lib/topk
struct Params { n: u32, k: u32, capacity: u32, shift: u32, half: u32 }
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> list: array<u32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> bins: array<atomic<u32>>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> own: array<atomic<u32>, 256>;

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let listed = list[0] >= params.k && list[0] <= params.capacity;
  let items = select(params.n, list[0], listed);
  let ties = params.half == 1u;
  if (ties && state[3] == 0u) { return; }
  let found = state[params.half];
  for (var i = group.x * 64u + lane; i < items; i += groups.x * 64u) {
    var e = i;
    if (listed) { e = list[1u + i]; }
    let bits = magnitude(scores[e]);
    let key = select(bits, ~e, ties);
    if (((key ^ found) >> params.shift) >> 8u == 0u && (!ties || bits == state[0])) {
      atomicAdd(&own[(key >> params.shift) & 255u], 1u);
    }
  }
  workgroupBarrier();
  for (var d = lane; d < 256u; d += 64u) {
    let count = atomicLoad(&own[d]);
    if (count > 0u) { atomicAdd(&bins[d], count); }
  }
}
