// Cholesky factor of one diagonal block, RᵀR = A[k0 .., k0 ..], R upper, right-looking, four rows at a time: one workgroup,
// one invocation per column. Only the upper half of A is read. The first pivot that is not finite or not above `least` is
// recorded, as its index + 1; later entries are then invalid. The block of the result is that of cholesky_panel, with
//   N[k, k] = √D_k = R[j, j] / s_j
//
// a: [64, p] f32, rows k0 on; N takes its place, turned round (cholesky_turn.wgsl)
// columns: [p] vec2u (unused, bits of s), last column first
// rt: [64, 64] f32, Rᵀ, zero above the diagonal in its blocks of four; failed: [1] u32
struct Params { p: u32, k0: u32, least: f32 }
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read> columns: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> rt: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> failed: array<u32>;
@group(0) @binding(4) var<uniform> params: Params;

// By column: the four rows being eliminated, where they meet their own columns, and as rows of R.
var<workgroup> corner: array<vec4f, 4>;
var<workgroup> done: array<vec4f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) t: u32) {
  let p = params.p;
  let count = min(64u, p - params.k0);
  let own = t / 4u;
  let here = params.k0 + t;
  // Four rows an element.
  var column: array<vec4f, 16>;
  for (var b = 0u; b <= own && t < count; b++) {
    let at = 4u * b * p + here;
    column[b] = vec4f(a[at], a[at + p], a[at + 2u * p], a[at + 3u * p]);
  }
  var scale = 1.0;
  if (t < count) { scale = bitcast<f32>(columns[here].y); }
  for (var b = 0u; b < count / 4u; b++) {
    let mine = column[b];
    if (own == b) { corner[t % 4u] = mine; }
    workgroupBarrier();
    let c0 = corner[0];
    let c1 = corner[1];
    let c2 = corner[2];
    let c3 = corner[3];
    let u0 = 1.0 / sqrt(c0.x);
    let r01 = c1.x * u0;
    let r02 = c2.x * u0;
    let r03 = c3.x * u0;
    let p1 = c1.y - r01 * r01;
    let u1 = 1.0 / sqrt(p1);
    let r12 = (c2.y - r01 * r02) * u1;
    let r13 = (c3.y - r01 * r03) * u1;
    let p2 = c2.z - r02 * r02 - r12 * r12;
    let u2 = 1.0 / sqrt(p2);
    let r23 = (c3.z - r02 * r03 - r12 * r13) * u2;
    let p3 = c3.w - r03 * r03 - r13 * r13 - r23 * r23;
    let u3 = 1.0 / sqrt(p3);
    let x0 = mine.x * u0;
    let x1 = (mine.y - r01 * x0) * u1;
    let x2 = (mine.z - r02 * x0 - r12 * x1) * u2;
    let x3 = (mine.w - r03 * x0 - r13 * x1 - r23 * x2) * u3;
    let rows = vec4u(0u, 1u, 2u, 3u) + 4u * b;
    let x = select(vec4f(), vec4f(x0, x1, x2, x3), rows <= vec4u(t));
    if (own >= b && t < count) {
      done[t] = x;
      rt[t * 16u + b] = x;
      let first = params.k0 + 4u * b;
      let s = bitcast<vec4f>(vec4u(columns[first].y, columns[first + 1u].y, columns[first + 2u].y, columns[first + 3u].y));
      let value = select(x * (s * vec4f(u0, u1, u2, u3)) / scale, x / s, rows == vec4u(t));
      let to = 4u * b * p + here;
      for (var m = 0u; m < 4u; m++) { if (4u * b + m <= t) { a[to + m * p] = value[m]; } }
    }
    if (t == 4u * b && failed[0] == 0u) {
      let pivots = vec4f(c0.x, p1, p2, p3);
      // Positive and below infinity, by bits, since a compiler may assume that there is no NaN.
      let sound = (bitcast<vec4u>(pivots) - 1u < vec4u(0x7f7fffffu)) & (pivots > vec4f(params.least));
      if (!all(sound)) { failed[0] = params.k0 + 1u + select(select(select(rows.w, rows.z, !sound.z), rows.y, !sound.y), rows.x, !sound.x); }
    }
    workgroupBarrier();
    for (var i = b + 1u; i <= own && t < count; i++) {
      column[i] -= x * mat4x4f(done[4u * i], done[4u * i + 1u], done[4u * i + 2u], done[4u * i + 3u]);
    }
  }
}
