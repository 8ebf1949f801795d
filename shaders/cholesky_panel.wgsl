// One block row k of a Cholesky factor right of its diagonal block: R[k, c] = R_kk⁻ᵀ · A[k, c] by substitution, for every
// column c from k1 on. Two neighbouring columns per invocation, no barrier.
//
// a: [64, p] f32, rows k0 on, A before and R after; rt: [64, 64] f32, R_kkᵀ from cholesky_diagonal
// panel: [64, p] f32, R again, which later blocks do not write to
// left: [p, ld] f32, Rᵀ in its columns l0 on: the form in which a GEMM likes its left operand
struct Params { p: u32, k1: u32, ld: u32, l0: u32 }
@group(0) @binding(0) var<storage, read_write> a: array<vec2f>;
@group(0) @binding(1) var<storage, read> rt: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> panel: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> left: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let pairs = params.p / 2u;
  let c = params.k1 / 2u + id.x;
  if (c >= pairs) { return; }
  var x: array<vec2f, 64>;
  for (var i = 0u; i < 64u; i++) { x[i] = a[i * pairs + c]; }
  for (var i = 0u; i < 64u; i += 4u) {
    // Four columns of R_kkᵀ; its row m stands at t + 16 m.
    let t = i / 4u;
    let r0 = rt[t + i * 16u];
    let r1 = rt[t + i * 16u + 16u];
    let r2 = rt[t + i * 16u + 32u];
    let r3 = rt[t + i * 16u + 48u];
    let x0 = x[i] / r0.x;
    let x1 = (x[i + 1u] - r1.x * x0) / r1.y;
    let x2 = (x[i + 2u] - r2.x * x0 - r2.y * x1) / r2.z;
    let x3 = (x[i + 3u] - r3.x * x0 - r3.y * x1 - r3.z * x2) / r3.w;
    let at = i * pairs + c;
    a[at] = x0;
    a[at + pairs] = x1;
    a[at + 2u * pairs] = x2;
    a[at + 3u * pairs] = x3;
    panel[at] = x0;
    panel[at + pairs] = x1;
    panel[at + 2u * pairs] = x2;
    panel[at + 3u * pairs] = x3;
    let to = (2u * c * params.ld + params.l0) / 4u + t;
    left[to] = vec4f(x0.x, x1.x, x2.x, x3.x);
    left[to + params.ld / 4u] = vec4f(x0.y, x1.y, x2.y, x3.y);
    for (var m = i + 4u; m < 64u; m++) {
      let row = rt[t + m * 16u];
      x[m] -= row.x * x0 + row.y * x1 + row.z * x2 + row.w * x3;
    }
  }
}
