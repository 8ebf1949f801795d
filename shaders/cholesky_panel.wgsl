// One block of 64 rows of a Cholesky factor right of its diagonal block, which ends at k1: R = R_kk⁻ᵀ · A by substitution,
// for the columns c0 .. c1, eight rows at a time. Four neighbouring columns per invocation, no barrier. On the way it
// undoes cholesky_setup on R, as V D Vᵀ:
//   N[k, i] = V[i, k] = s_j R[j, c] / (s_c R[j, j]),  k = p − 1 − j,  i = p − 1 − c
//
// a: [64, p] f32, rows k1 − 64 on; N takes its place, turned round (cholesky_turn.wgsl)
// rt: [64, 64] f32, R_kkᵀ from cholesky_diagonal
// columns: [p] vec2u (unused, bits of s), last column first; panel: [64, p] f32, R
// left: [.., ld] f32, rows left0 on; Rᵀ in its columns l0 on: the form in which a GEMM likes its left operand
struct Params { p: u32, k1: u32, c0: u32, c1: u32, left0: u32, ld: u32, l0: u32 }
@group(0) @binding(0) var<storage, read_write> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> rt: array<vec4f>;
@group(0) @binding(2) var<storage, read> columns: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> panel: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> left: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let ld = params.p / 4u;
  let c = params.c0 / 4u + id.x;
  if (c >= params.c1 / 4u) { return; }
  let scales = vec4f(scale(4u * c), scale(4u * c + 1u), scale(4u * c + 2u), scale(4u * c + 3u));
  for (var i = 0u; i < 64u; i += 8u) {
    let at = i * ld + c;
    // Eight columns of R_kkᵀ, the first four at t, the others after them; its row m stands 16 m further.
    let t = i / 4u;
    let d = t + i * 16u;
    let r0 = rt[d];
    let r1 = rt[d + 16u];
    let r2 = rt[d + 32u];
    let r3 = rt[d + 48u];
    let r4 = rt[d + 64u];
    let s4 = rt[d + 65u];
    let r5 = rt[d + 80u];
    let s5 = rt[d + 81u];
    let r6 = rt[d + 96u];
    let s6 = rt[d + 97u];
    let r7 = rt[d + 112u];
    let s7 = rt[d + 113u];
    let x0 = a[at] / r0.x;
    let x1 = (a[at + ld] - r1.x * x0) / r1.y;
    let x2 = (a[at + 2u * ld] - r2.x * x0 - r2.y * x1) / r2.z;
    let x3 = (a[at + 3u * ld] - r3.x * x0 - r3.y * x1 - r3.z * x2) / r3.w;
    let x4 = (a[at + 4u * ld] - r4.x * x0 - r4.y * x1 - r4.z * x2 - r4.w * x3) / s4.x;
    let x5 = (a[at + 5u * ld] - r5.x * x0 - r5.y * x1 - r5.z * x2 - r5.w * x3 - s5.x * x4) / s5.y;
    let x6 = (a[at + 6u * ld] - r6.x * x0 - r6.y * x1 - r6.z * x2 - r6.w * x3 - s6.x * x4 - s6.y * x5) / s6.z;
    let x7 = (a[at + 7u * ld] - r7.x * x0 - r7.y * x1 - r7.z * x2 - r7.w * x3 - s7.x * x4 - s7.y * x5 - s7.z * x6) / s7.w;
    panel[at] = x0;
    panel[at + ld] = x1;
    panel[at + 2u * ld] = x2;
    panel[at + 3u * ld] = x3;
    panel[at + 4u * ld] = x4;
    panel[at + 5u * ld] = x5;
    panel[at + 6u * ld] = x6;
    panel[at + 7u * ld] = x7;
    let j = params.k1 - 64u + i;
    a[at] = x0 * (scale(j) / r0.x) / scales;
    a[at + ld] = x1 * (scale(j + 1u) / r1.y) / scales;
    a[at + 2u * ld] = x2 * (scale(j + 2u) / r2.z) / scales;
    a[at + 3u * ld] = x3 * (scale(j + 3u) / r3.w) / scales;
    a[at + 4u * ld] = x4 * (scale(j + 4u) / s4.x) / scales;
    a[at + 5u * ld] = x5 * (scale(j + 5u) / s5.y) / scales;
    a[at + 6u * ld] = x6 * (scale(j + 6u) / s6.z) / scales;
    a[at + 7u * ld] = x7 * (scale(j + 7u) / s7.w) / scales;
    let first = transpose(mat4x4f(x0, x1, x2, x3));
    let second = transpose(mat4x4f(x4, x5, x6, x7));
    for (var s = 0u; s < 4u; s++) {
      let l = ((4u * c + s - params.left0) * params.ld + params.l0) / 4u + t;
      left[l] = first[s];
      left[l + 1u] = second[s];
    }
    for (var m = i + 8u; m < 64u; m++) {
      let u = rt[t + m * 16u];
      let v = rt[t + m * 16u + 1u];
      a[m * ld + c] -= u.x * x0 + u.y * x1 + u.z * x2 + u.w * x3 + v.x * x4 + v.y * x5 + v.z * x6 + v.w * x7;
    }
  }
}

fn scale(j: u32) -> f32 { return bitcast<f32>(columns[j].y); }
