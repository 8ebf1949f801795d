// What gemm_tiled and gemm_buffered share: squares of four rows of A, or columns of B, and four steps of k, which a workgroup reads at a
// time, and the 8 × 8 outputs of an invocation in a tile of 8 ACROSS columns.

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

// Eight rows of C from `row` on, and of each four columns, and four in the other half of the tile: neighbours read neighbouring elements.
struct Outputs { c0: u32, row: u32, quads: vec2u }

fn outputs_of(c0: u32, row0: u32, col0: u32, local: vec2u) -> Outputs {
  let quad = col0 / 4u + local.x;
  return Outputs(c0, row0 + local.y * 8u, vec2u(quad, quad + ACROSS));
}

// What earlier parts of k left in C, or zeros.
fn begun(at: Outputs) -> array<array<vec4f, 2>, 8> {
  var total: array<array<vec4f, 2>, 8>;
  if (params.carried == 1u) {
    for (var r = 0u; r < min(8u, max(at.row, params.m) - at.row); r++) {
      for (var h = 0u; h < 2u; h++) {
        if (at.quads[h] * 4u < params.n) { total[r][h] = start(at.c0 + (at.row + r) * (params.ldc / 4u) + at.quads[h], at.row + r); }
      }
    }
  }
  return total;
}

fn store_all(at: Outputs, total: ptr<function, array<array<vec4f, 2>, 8>>) {
  for (var r = 0u; r < 8u; r++) {
    if (at.row + r >= params.m) { break; }
    for (var h = 0u; h < 2u; h++) {
      if (at.quads[h] * 4u < params.n) { store(at.c0 + (at.row + r) * (params.ldc / 4u) + at.quads[h], at.row + r, (*total)[r][h]); }
    }
  }
}
