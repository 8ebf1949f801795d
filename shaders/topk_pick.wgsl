// After topk_count: the digit at which the count from above reaches k, appended to the digits found; bins cleared.
// After the last digit the list of candidates is emptied and its floor set 10 % below the k-th largest: between two
// selections of slowly changing scores nothing rises from further below, and if it does, the list is too short and all
// items are examined.
//
// bins: [256] u32; list: [..] u32 (count, ..); state: [8] u32 of lib/topk          (one workgroup)
//#include lib/topk
struct Params { k: u32, shift: u32, half: u32 }
@group(0) @binding(0) var<storage, read_write> bins: array<u32>;
@group(0) @binding(1) var<storage, read_write> list: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> counts: array<u32, 256>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var d = lane; d < 256u; d += 64u) {
    counts[d] = bins[d];
    bins[d] = 0u;
  }
  workgroupBarrier();
  if (lane > 0u) { return; }
  let first = params.shift == 24u;
  if (params.half == 1u && state[3] == 0u) {
    state[1] = 0u;
  } else {
    var left = state[2];
    if (first && params.half == 0u) { left = params.k; }
    var digit = 255u;
    while (digit > 0u && counts[digit] < left) {
      left -= counts[digit];
      digit--;
    }
    state[params.half] = select(state[params.half], 0u, first) | (digit << params.shift);
    state[2] = left;
    if (params.half == 0u && params.shift == 0u) { state[3] = u32(counts[digit] > left); }
  }
  if (params.half == 1u && params.shift == 0u) {
    state[4] = magnitude(0.9 * bitcast<f32>(state[0]));
    list[0] = 0u;
  }
}
