enable subgroups;
// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, B also bf16 or f16, A also scaled f16; row-major;
// interface and batch rule as in gemm_direct)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n].
//
// "Broadcast": 16 × 4 outputs per invocation, those of a workgroup side by side. All of them want the same rows of A: four lanes of a
// subgroup read one vec4 each and pass it to the others, so that nearly all reads left are those of B. No workgroup memory. The fastest
// form where a read costs much more than a multiplication, as on lavapipe.
//#include lib/gemm
//#include lib/shape

@compute @workgroup_size(ACROSS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row = group.y * 16u;
  if (below_diagonal(row, (group.x + 1u) * ACROSS * 4u)) { return; }
  let origin = origin_of(group.z);
  let lda = params.lda / 4u;
  let ldb = params.ldb / 4u;
  let ldc = params.ldc / 4u;

  // Columns beyond the last are computed as copies of it but never stored: all lanes have to take part in what is passed around.
  let wanted = group.x * ACROSS + local.x;
  let quad = min(wanted, params.n / 4u - 1u);
  let rows_here = select(0u, min(16u, params.m - row), wanted == quad);
  let c_at = origin.c + row * ldc + quad;
  let one = lane & 3u;
  // Of each four rows, a row per lane; or of each four steps of k, one per lane.
  let first = (vec4u(0u, 4u, 8u, 12u) + row) / select(1u, 4u, TA);
  let last = (params.m - 1u) / select(1u, 4u, TA);
  let at_a = origin.a + select(min(first + one, vec4u(last)) * lda, min(first, vec4u(last)) + one * lda, TA);
  let next_a = select(1u, 4u * lda, TA);
  let at_b = origin.b + select(quad, quad * 4u * ldb, TB);
  let next_b = select(4u * ldb, 1u, TB);

  var z0 = begin(c_at, ldc, row, rows_here, 0u);
  var z1 = begin(c_at, ldc, row, rows_here, 4u);
  var z2 = begin(c_at, ldc, row, rows_here, 8u);
  var z3 = begin(c_at, ldc, row, rows_here, 12u);
  let steps = (params.k + 3u) / 4u;
  for (var t0 = 0u; t0 < steps; t0 += BLOCK / 4u) {
    var s0 = mat4x4f();
    var s1 = mat4x4f();
    var s2 = mat4x4f();
    var s3 = mat4x4f();
    for (var t = t0; t < min(t0 + BLOCK / 4u, steps); t++) {
      let at = at_a + t * next_a;
      let here = !TA || 4u * t + one < params.k;
      let y = columns(at_b + t * next_b, ldb, t);
      s0 += y * rows(select(vec4f(), left(at.x), here));
      s1 += y * rows(select(vec4f(), left(at.y), here));
      s2 += y * rows(select(vec4f(), left(at.z), here));
      s3 += y * rows(select(vec4f(), left(at.w), here));
    }
    z0 += s0;
    z1 += s1;
    z2 += s2;
    z3 += s3;
  }
  end(z0, c_at, ldc, row, rows_here, 0u);
  end(z1, c_at, ldc, row, rows_here, 4u);
  end(z2, c_at, ldc, row, rows_here, 8u);
  end(z3, c_at, ldc, row, rows_here, 12u);
}

// Four steps of k of four rows of A, which are the columns of the matrix, from what the first four lanes have read.
fn rows(read: vec4f) -> mat4x4f {
  let all = mat4x4f(subgroupBroadcast(read, 0u), subgroupBroadcast(read, 1u), subgroupBroadcast(read, 2u), subgroupBroadcast(read, 3u));
  if (TA) { return transpose(all); }
  return all;
}

// Four columns of B at four steps of k, which are the columns of the matrix. What lies beyond k, if 4 does not divide it, may be anything.
fn columns(at: u32, ldb: u32, t: u32) -> mat4x4f {
  let read = mat4x4f(operand(at), operand(at + ldb), operand(at + 2u * ldb), operand(at + 3u * ldb));
  if (TB) { return transpose(read); }
  if (!TA) { return read; }
  let left = params.k - 4u * t;
  let none = vec4f();
  return mat4x4f(read[0], select(none, read[1], left > 1u), select(none, read[2], left > 2u), select(none, read[3], left > 3u));
}

// Four rows of C, from row `from_row` of the tile, which begins at row `row`: where their sums start, and what becomes of them.
fn begin(at: u32, ldc: u32, row: u32, count: u32, from_row: u32) -> mat4x4f {
  var sums = mat4x4f();
  if (from_row < count) { sums[0] = start(at + from_row * ldc, row + from_row); }
  if (from_row + 1u < count) { sums[1] = start(at + (from_row + 1u) * ldc, row + from_row + 1u); }
  if (from_row + 2u < count) { sums[2] = start(at + (from_row + 2u) * ldc, row + from_row + 2u); }
  if (from_row + 3u < count) { sums[3] = start(at + (from_row + 3u) * ldc, row + from_row + 3u); }
  return sums;
}

fn end(sums: mat4x4f, at: u32, ldc: u32, row: u32, count: u32, from_row: u32) {
  if (from_row < count) { store(at + from_row * ldc, row + from_row, sums[0]); }
  if (from_row + 1u < count) { store(at + (from_row + 1u) * ldc, row + from_row + 1u, sums[1]); }
  if (from_row + 2u < count) { store(at + (from_row + 2u) * ldc, row + from_row + 2u, sums[2]); }
  if (from_row + 3u < count) { store(at + (from_row + 3u) * ldc, row + from_row + 3u, sums[3]); }
}
