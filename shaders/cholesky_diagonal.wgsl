// Cholesky factor of one diagonal block, RᵀR = A[k0 .., k0 ..], R upper, right-looking: one workgroup, one invocation per
// column. Only the upper half of A is read. The first pivot that is not finite or not above `least` is recorded, as its
// index + 1; what follows it is worthless.
//
// a: [64, p] f32, rows k0 on, A before and R after; rt: [64, 64] f32, Rᵀ, lower half written; failed: [1] u32
struct Params { p: u32, k0: u32, least: f32 }
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> rt: array<f32>;
@group(0) @binding(2) var<storage, read_write> failed: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

// The row being eliminated; two of them in turn, so that one barrier a step is enough.
var<workgroup> shared_row: array<f32, 128>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32) {
  let n = min(64u, params.p - params.k0);
  var column: array<f32, 64>;
  for (var i = 0u; i <= t && t < n; i++) { column[i] = a[i * params.p + params.k0 + t]; }
  for (var j = 0u; j < n; j++) {
    let row = (j % 2u) * 64u;
    if (t >= j && t < n) { shared_row[row + t] = column[j]; }
    workgroupBarrier();
    if (t >= j && t < n) {
      let pivot = shared_row[row + j];
      // Positive and below infinity, by bits, since a compiler may assume that there is no NaN.
      let sound = bitcast<u32>(pivot) - 1u < 0x7f7fffffu && pivot > params.least;
      if (t == j && !sound && failed[0] == 0u) { failed[0] = params.k0 + j + 1u; }
      let reciprocal = 1.0 / sqrt(pivot);
      let x = column[j] * reciprocal;
      rt[t * 64u + j] = x;
      a[j * params.p + params.k0 + t] = x;
      for (var i = j + 1u; i <= t; i++) { column[i] -= shared_row[row + i] * reciprocal * x; }
    }
  }
}
