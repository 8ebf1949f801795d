// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, B also bf16 or f16, A also scaled f16; row-major, one
// matrix product per batch entry z)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n]. Leading dimensions lda, ldb, ldc and all
// offsets are multiples of 4 elements; n is a multiple of 4, and k unless TA. Not for TA and TB at once.
// Batch entry z = outer · inner + i: matrix X starts at x0 + outer · x_outer + i · x_inner; for B, i is divided by share
// first (grouped-query attention: `share` query heads read one key/value head).
// row0: which of the scales of A's rows, where it has any, belongs to the first row here.
// carried: C holds the sum over an earlier part of k, without alpha, which this call goes on with (k in parts of 64).
// symmetric: C = Cᵀ is known, so tiles strictly below the diagonal are skipped; holds 1 + the row of C that this call begins at.
//
// "Direct": 16 × 16 outputs per invocation as 4 × 4 blocks, straight from storage, no workgroup memory. The fastest form on
// software adapters, where barriers cost everything and every read is paid for.
//#include lib/gemm

@compute @workgroup_size(2, 2)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let col = id.x * 16u;
  let row = id.y * 16u;
  if (col >= params.n || row >= params.m) { return; }
  if (below_diagonal(group.y * 32u, (group.x + 1u) * 32u)) { return; }
  let origin = origin_of(id.z);
  let lda = params.lda / 4u;
  let ldb = params.ldb / 4u;
  let ldc = params.ldc / 4u;

  // Four times four rows r and columns 4 q. Those beyond the last are computed as copies of it but never stored.
  let last = params.m - 1u;
  let r0 = min(vec4u(0u, 1u, 2u, 3u) + row, vec4u(last));
  let r1 = min(vec4u(4u, 5u, 6u, 7u) + row, vec4u(last));
  let r2 = min(vec4u(8u, 9u, 10u, 11u) + row, vec4u(last));
  let r3 = min(vec4u(12u, 13u, 14u, 15u) + row, vec4u(last));
  let q0 = min(id.x * 4u, params.n / 4u - 1u);
  let q1 = min(id.x * 4u + 1u, params.n / 4u - 1u);
  let q2 = min(id.x * 4u + 2u, params.n / 4u - 1u);
  let q3 = min(id.x * 4u + 3u, params.n / 4u - 1u);
  // Block (rows, columns), by rows of blocks: each column of the matrix is a row of C.
  var blocks: array<mat4x4f, 16>;
  let rows_here = min(16u, params.m - row);
  let quads_here = min(4u, (params.n - col) / 4u);
  if (params.carried == 1u) {
    for (var r = 0u; r < rows_here; r++) {
      for (var q = 0u; q < quads_here; q++) { blocks[r / 4u * 4u + q][r % 4u] = start(origin.c + (row + r) * ldc + id.x * 4u + q, row + r); }
    }
  }

  let steps = (params.k + 3u) / 4u;
  let across = select(1u, 4u * ldb, TB);
  let down = select(4u * ldb, 1u, TB);
  for (var t0 = 0u; t0 < steps; t0 += BLOCK / 4u) {
    var s00 = mat4x4f(); var s01 = mat4x4f(); var s02 = mat4x4f(); var s03 = mat4x4f();
    var s10 = mat4x4f(); var s11 = mat4x4f(); var s12 = mat4x4f(); var s13 = mat4x4f();
    var s20 = mat4x4f(); var s21 = mat4x4f(); var s22 = mat4x4f(); var s23 = mat4x4f();
    var s30 = mat4x4f(); var s31 = mat4x4f(); var s32 = mat4x4f(); var s33 = mat4x4f();
    for (var t = t0; t < min(t0 + BLOCK / 4u, steps); t++) {
      let x0 = rows(origin.a, lda, t, r0);
      let x1 = rows(origin.a, lda, t, r1);
      let x2 = rows(origin.a, lda, t, r2);
      let x3 = rows(origin.a, lda, t, r3);
      let at = origin.b + t * down;
      let y0 = columns(at + q0 * across, ldb, t);
      s00 += y0 * x0;
      s10 += y0 * x1;
      s20 += y0 * x2;
      s30 += y0 * x3;
      let y1 = columns(at + q1 * across, ldb, t);
      s01 += y1 * x0;
      s11 += y1 * x1;
      s21 += y1 * x2;
      s31 += y1 * x3;
      let y2 = columns(at + q2 * across, ldb, t);
      s02 += y2 * x0;
      s12 += y2 * x1;
      s22 += y2 * x2;
      s32 += y2 * x3;
      let y3 = columns(at + q3 * across, ldb, t);
      s03 += y3 * x0;
      s13 += y3 * x1;
      s23 += y3 * x2;
      s33 += y3 * x3;
    }
    blocks[0] += s00; blocks[1] += s01; blocks[2] += s02; blocks[3] += s03;
    blocks[4] += s10; blocks[5] += s11; blocks[6] += s12; blocks[7] += s13;
    blocks[8] += s20; blocks[9] += s21; blocks[10] += s22; blocks[11] += s23;
    blocks[12] += s30; blocks[13] += s31; blocks[14] += s32; blocks[15] += s33;
  }

  for (var r = 0u; r < rows_here; r++) {
    for (var q = 0u; q < quads_here; q++) { store(origin.c + (row + r) * ldc + id.x * 4u + q, row + r, blocks[r / 4u * 4u + q][r % 4u]); }
  }
}

// Four steps of k, from 4 t on, of four rows of A, which are the columns of the matrix.
fn rows(a0: u32, lda: u32, t: u32, r: vec4u) -> mat4x4f {
  if (TA) {
    let at = a0 + 4u * t * lda + r.x / 4u;
    return transpose(some_steps(left(at), left(at + lda), left(at + 2u * lda), left(at + 3u * lda), t));
  }
  let at = a0 + r * lda + t;
  return mat4x4f(left(at.x), left(at.y), left(at.z), left(at.w));
}

// Four columns of B, which are the rows of the matrix, and four steps of k.
fn columns(at: u32, ldb: u32, t: u32) -> mat4x4f {
  if (TB) { return transpose(mat4x4f(operand(at), operand(at + ldb), operand(at + 2u * ldb), operand(at + 3u * ldb))); }
  return some_steps(operand(at), operand(at + ldb), operand(at + 2u * ldb), operand(at + 3u * ldb), t);
}

// What lies beyond k, if 4 does not divide it, may be anything.
fn some_steps(v0: vec4f, v1: vec4f, v2: vec4f, v3: vec4f, t: u32) -> mat4x4f {
  if (!TA) { return mat4x4f(v0, v1, v2, v3); }
  let left = params.k - 4u * t;
  let none = vec4f();
  return mat4x4f(v0, select(none, v1, left > 1u), select(none, v2, left > 2u), select(none, v3, left > 3u));
}
