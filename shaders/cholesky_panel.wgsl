// One block row k of the factor and of its inverse at once: x = R_kk⁻ᵀ · A[k, c] by substitution, for every column c.
//   right of the block:  the factor R[k, c], needed only in the update of the rest, so it goes to `panel` and `left`
//   left of the block:   the inverse X[k, c] of L = Rᵀ, from what earlier blocks left there
//   inside:              X_kk = R_kk⁻ᵀ, from columns of the identity
// One invocation per column, no barrier.
//
// a: [64, p] f32, rows k0 on; r: [64, 64] f32 from cholesky_diagonal; panel: [64, p] f32
// left: [p, ld] f32, panelᵀ right of the block in its columns l0 on: the form in which a GEMM likes its left operand
struct Params { p: u32, k0: u32, ld: u32, l0: u32 }
@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read> r: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> panel: array<f32>;
@group(0) @binding(3) var<storage, read_write> left: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let p = params.p;
  let c = id.x;
  if (c >= p) { return; }
  let n = min(64u, p - params.k0);
  let quads = n / 4u;
  let inside = c >= params.k0 && c < params.k0 + n;
  var x: array<vec4f, 16>;
  for (var i = 0u; i < quads; i++) {
    let at = i * 4u * p + c;
    if (inside) {
      x[i] = select(vec4f(), vec4f(1.0), vec4u(i * 4u) + vec4u(0u, 1u, 2u, 3u) == vec4u(c - params.k0));
    } else {
      x[i] = vec4f(a[at], a[at + p], a[at + 2u * p], a[at + 3u * p]);
    }
  }
  for (var i = 0u; i < quads; i++) {
    let t = i * 64u;
    let r0 = r[t + i];
    let r1 = r[t + 16u + i];
    let r2 = r[t + 32u + i];
    let r3 = r[t + 48u + i];
    var now = x[i];
    now.x /= r0.x;
    now.y = (now.y - now.x * r0.y) / r1.y;
    now.z = (now.z - now.x * r0.z - now.y * r1.z) / r2.z;
    now.w = (now.w - now.x * r0.w - now.y * r1.w - now.z * r2.w) / r3.w;
    x[i] = now;
    for (var k = i + 1u; k < quads; k++) {
      x[k] -= now.x * r[t + k] + now.y * r[t + 16u + k] + now.z * r[t + 32u + k] + now.w * r[t + 48u + k];
    }
  }
  for (var i = 0u; i < quads; i++) {
    let value = x[i];
    let at = i * 4u * p;
    panel[at + c] = value.x;
    panel[at + p + c] = value.y;
    panel[at + 2u * p + c] = value.z;
    panel[at + 3u * p + c] = value.w;
    if (c < params.k0 + n) {
      a[at + c] = value.x;
      a[at + p + c] = value.y;
      a[at + 2u * p + c] = value.z;
      a[at + 3u * p + c] = value.w;
    } else {
      left[(c * params.ld + params.l0) / 4u + i] = value;
    }
  }
}
