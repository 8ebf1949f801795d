// y = x with the tails of every row of W and group set to 0: of n entries everything below the m-th smallest and
// above the (m+1)-th largest, m = round(n · fraction / 2). Both by bisection on the ordered bits of the numbers.
//
// x, y: [p, q] f32 (input-major); order: [p] u32, group g is order[g·size .. (g+1)·size]
//#include lib/item
struct Params { q: u32, p: u32, size: u32, groups: u32, fraction: f32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  let m = u32(round(f32(last - first) * params.fraction / 2.0));
  var low = 0u;
  var high = 0u;
  for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
    var below = vec2u();
    for (var i = first; i < last; i++) {
      let key = ordered(x[order[i] * params.q + row]);
      below += vec2u(u32(key < (low | bit)), u32(key < (high | bit)));
    }
    if (below.x < m) { low |= bit; }
    if (below.y < last - first - m) { high |= bit; }
  }
  for (var i = first; i < last; i++) {
    let e = order[i] * params.q + row;
    let key = ordered(x[e]);
    y[e] = select(x[e], 0.0, m > 0u && (key < low || key > high));
  }
}

// Bits in the order of the numbers.
fn ordered(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
