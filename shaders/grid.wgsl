// Min/max grid of every row and group (algorithms.md section 1):
//   lo = min(min w, 0), hi = max(max w, 0);  symmetric: hi = max(|lo|, hi), lo = −hi if lo < 0
//   s = (hi − lo) / M,  z = round(−lo / s), symmetric: (M + 1) / 2
// mse: over the shrunk ranges (1 − i/100)·(lo, hi), i = 0 … 79, the first that has the least Σ |w − Q(w)|^2.4.
//
// w: [p, q] f32 (input-major: row of W = column here); order: [p] u32, group g is order[g·size .. (g+1)·size]
// grid: [groups, q] vec2f (scale, zero);  half: scales are rounded to float16, as they are stored
//#include lib/item
//#include lib/grid
struct Params { q: u32, p: u32, size: u32, groups: u32, most: f32, symmetric: u32, mse: u32, half: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  var lo = 0.0;
  var hi = 0.0;
  for (var j = first; j < last; j++) {
    let v = w[order[j] * params.q + row];
    lo = min(lo, v);
    hi = max(hi, v);
  }
  if (params.symmetric == 1u) {
    hi = max(-lo, hi);
    if (lo < 0.0) { lo = -hi; }
  }
  if (lo == 0.0 && hi == 0.0) { lo = -1.0; hi = 1.0; }
  var best = grid_of(lo, hi);
  if (params.mse == 1u) {
    var least = 3e38;
    let full = best;
    for (var i = 0u; i < 80u; i++) {
      let f = 1.0 - f32(i) / 100.0;
      var candidate = grid_of(f * lo, f * hi);
      if (params.symmetric == 1u) { candidate.y = full.y; }
      var error = 0.0;
      for (var j = first; j < last; j++) {
        let v = w[order[j] * params.q + row];
        error += pow(abs(quantized(v, candidate, params.most) - v), 2.4);
      }
      if (error < least) { least = error; best = candidate; }
    }
  }
  grid[at] = best;
}

fn grid_of(lo: f32, hi: f32) -> vec2f {
  var scale = (hi - lo) / params.most;
  if (params.half == 1u) { scale = to_half(scale); }
  var zero = (params.most + 1.0) / 2.0;
  if (params.symmetric == 0u) { zero = clamp(round(-lo / scale), 0.0, params.most); }
  return vec2f(scale, zero);
}

// The nearest float16 (ties to even), never 0; by integer arithmetic, since pack2x16float may flush subnormals.
fn to_half(v: f32) -> f32 {
  if (v < 6.103515625e-5) { return max(round(v * 16777216.0), 1.0) / 16777216.0; }
  let bits = bitcast<u32>(v);
  return min(bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u), 65504.0);
}
