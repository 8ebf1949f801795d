// What workgroups of gemm_tiled and gemm_buffered read at a time: squares of four rows of A, or columns of B, and four steps of k.

// Four rows of A, from `row` on, at the steps t … t + 3, which are the columns of the matrix; 0 beyond m and k.
fn steps_of_a(a0: u32, row: u32, t: u32) -> mat4x4f {
  let lda = params.lda / 4u;
  var read = mat4x4f();
  for (var s = 0u; s < 4u; s++) {
    if (TA) {
      if (t + s < params.k && row < params.m) { read[s] = left(a0 + (t + s) * lda + row / 4u); }
    } else if (t < params.k && row + s < params.m) {
      read[s] = left(a0 + (row + s) * lda + t / 4u);
    }
  }
  if (TA) { return read; }
  return transpose(read);
}

// The same of B and its columns.
fn steps_of_b(b0: u32, col: u32, t: u32) -> mat4x4f {
  let ldb = params.ldb / 4u;
  var read = mat4x4f();
  for (var s = 0u; s < 4u; s++) {
    if (TB) {
      if (t < params.k && col < params.n) { read[s] = operand(b0 + (col + s) * ldb + t / 4u); }
    } else if (t + s < params.k && col < params.n) {
      read[s] = operand(b0 + (t + s) * ldb + col / 4u);
    }
  }
  if (TB) { return transpose(read); }
  return read;
}
