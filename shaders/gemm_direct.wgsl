// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, row-major, one matrix product per batch entry z)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n]. Leading dimensions lda, ldb, ldc and all
// offsets are multiples of 4 elements; n is a multiple of 4, and k unless TA.
// Batch entry z = outer · inner + i: matrix X starts at x0 + outer · x_outer + i · x_inner; for B, i is divided by share
// first (grouped-query attention: `share` query heads read one key/value head).
// carried: C holds the sum over an earlier part of k, without alpha, which this call goes on with (k in parts of 16).
// symmetric: C = Cᵀ is known, so tiles strictly below the diagonal are skipped; holds 1 + the first tile row of this call.
//
// "Direct": 8 × 4 outputs per invocation, vec4 loads straight from storage, no workgroup memory. The fastest form on
// software adapters, where barriers cost everything and every read is paid for.
//#include lib/gemm

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let col = id.x * 4u;
  let row = id.y * 8u;
  if (col >= params.n || row >= params.m) { return; }
  if (params.symmetric > 0u && group.y + params.symmetric - 1u > group.x) { return; }
  let outer = id.z / params.inner;
  let i = id.z % params.inner;
  let a0 = (params.a0 + outer * params.a_outer + i * params.a_inner) / 4u;
  let b0 = (params.b0 + outer * params.b_outer + (i / params.share) * params.b_inner) / 4u;
  let c0 = (params.c0 + outer * params.c_outer + i * params.c_inner) / 4u;
  let lda = params.lda / 4u;
  let ldb = params.ldb / 4u;
  let ldc = params.ldc / 4u;

  let out = c0 + row * ldc + id.x;
  // Rows beyond m are computed as copies of the last one but never stored.
  let last = params.m - 1u - row;
  var s0 = start(out);
  var s1 = start(out + min(1u, last) * ldc);
  var s2 = start(out + min(2u, last) * ldc);
  var s3 = start(out + min(3u, last) * ldc);
  var s4 = start(out + min(4u, last) * ldc);
  var s5 = start(out + min(5u, last) * ldc);
  var s6 = start(out + min(6u, last) * ldc);
  var s7 = start(out + min(7u, last) * ldc);
  if (TA) {
    var ia = a0 + id.y * 2u;
    var ib = b0 + id.x;
    let next = select(0u, 1u, last >= 4u);
    for (var t = 0u; t < params.k; t++) {
      let x = a[ia];
      let z = a[ia + next];
      let y = b[ib];
      s0 += x.x * y;
      s1 += x.y * y;
      s2 += x.z * y;
      s3 += x.w * y;
      s4 += z.x * y;
      s5 += z.y * y;
      s6 += z.z * y;
      s7 += z.w * y;
      ia += lda;
      ib += ldb;
    }
  } else {
    let r0 = a0 + row * lda;
    let r1 = r0 + min(1u, last) * lda;
    let r2 = r0 + min(2u, last) * lda;
    let r3 = r0 + min(3u, last) * lda;
    let r4 = r0 + min(4u, last) * lda;
    let r5 = r0 + min(5u, last) * lda;
    let r6 = r0 + min(6u, last) * lda;
    let r7 = r0 + min(7u, last) * lda;
    let steps = params.k / 4u;
    if (TB) {
      let edge = params.n - 1u;
      let q0 = b0 + col * ldb;
      let q1 = b0 + min(col + 1u, edge) * ldb;
      let q2 = b0 + min(col + 2u, edge) * ldb;
      let q3 = b0 + min(col + 3u, edge) * ldb;
      for (var t = 0u; t < steps; t++) {
        let y0 = b[q0 + t]; let y1 = b[q1 + t]; let y2 = b[q2 + t]; let y3 = b[q3 + t];
        let x0 = a[r0 + t];
        s0 += vec4f(dot(x0, y0), dot(x0, y1), dot(x0, y2), dot(x0, y3));
        let x1 = a[r1 + t];
        s1 += vec4f(dot(x1, y0), dot(x1, y1), dot(x1, y2), dot(x1, y3));
        let x2 = a[r2 + t];
        s2 += vec4f(dot(x2, y0), dot(x2, y1), dot(x2, y2), dot(x2, y3));
        let x3 = a[r3 + t];
        s3 += vec4f(dot(x3, y0), dot(x3, y1), dot(x3, y2), dot(x3, y3));
        let x4 = a[r4 + t];
        s4 += vec4f(dot(x4, y0), dot(x4, y1), dot(x4, y2), dot(x4, y3));
        let x5 = a[r5 + t];
        s5 += vec4f(dot(x5, y0), dot(x5, y1), dot(x5, y2), dot(x5, y3));
        let x6 = a[r6 + t];
        s6 += vec4f(dot(x6, y0), dot(x6, y1), dot(x6, y2), dot(x6, y3));
        let x7 = a[r7 + t];
        s7 += vec4f(dot(x7, y0), dot(x7, y1), dot(x7, y2), dot(x7, y3));
      }
    } else {
      var ib = b0 + id.x;
      for (var t = 0u; t < steps; t++) {
        let y0 = b[ib]; let y1 = b[ib + ldb]; let y2 = b[ib + 2u * ldb]; let y3 = b[ib + 3u * ldb];
        let x0 = a[r0 + t];
        s0 += x0.x * y0 + x0.y * y1 + x0.z * y2 + x0.w * y3;
        let x1 = a[r1 + t];
        s1 += x1.x * y0 + x1.y * y1 + x1.z * y2 + x1.w * y3;
        let x2 = a[r2 + t];
        s2 += x2.x * y0 + x2.y * y1 + x2.z * y2 + x2.w * y3;
        let x3 = a[r3 + t];
        s3 += x3.x * y0 + x3.y * y1 + x3.z * y2 + x3.w * y3;
        let x4 = a[r4 + t];
        s4 += x4.x * y0 + x4.y * y1 + x4.z * y2 + x4.w * y3;
        let x5 = a[r5 + t];
        s5 += x5.x * y0 + x5.y * y1 + x5.z * y2 + x5.w * y3;
        let x6 = a[r6 + t];
        s6 += x6.x * y0 + x6.y * y1 + x6.z * y2 + x6.w * y3;
        let x7 = a[r7 + t];
        s7 += x7.x * y0 + x7.y * y1 + x7.z * y2 + x7.w * y3;
        ib += 4u * ldb;
      }
    }
  }

  store(out, s0);
  if (last >= 1u) { store(out + ldc, s1); }
  if (last >= 2u) { store(out + 2u * ldc, s2); }
  if (last >= 3u) { store(out + 3u * ldc, s3); }
  if (last >= 4u) { store(out + 4u * ldc, s4); }
  if (last >= 5u) { store(out + 5u * ldc, s5); }
  if (last >= 6u) { store(out + 6u * ldc, s6); }
  if (last >= 7u) { store(out + 7u * ldc, s7); }
}
