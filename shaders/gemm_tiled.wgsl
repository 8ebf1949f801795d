// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, B also bf16 or f16, A also scaled f16; row-major;
// interface and batch rule as in gemm_direct)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n].
//
// "Tiled": a workgroup of ACROSS × DOWN invocations makes a tile of C, 8 × 8 outputs each, from tiles of 16 along k in workgroup
// memory: 64 × 64 in 8 KiB, or another of gemm-forms.ts. The fastest form on real GPUs.
//#include lib/gemm
//#include lib/shape
//#include lib/squares

const ROWS = 8u * DOWN;
const COLS = 8u * ACROSS;
const DEPTH = 16u;
// Both tiles lie k-major, four rows or columns in an element: (t, x) in element (t · ROWS + x) / 4.
var<workgroup> tile_a: array<vec4f, 32u * DOWN>;
var<workgroup> tile_b: array<vec4f, 32u * ACROSS>;

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let col0 = group.x * COLS;
  let row0 = group.y * ROWS;
  if (below_diagonal(row0, col0 + COLS)) { return; }
  let origin = origin_of(group.z);
  let outputs = outputs_of(origin.c, row0, col0, local.xy);
  var total = begun(outputs);
  var sum: array<array<vec4f, 2>, 8>;
  for (var t0 = 0u; t0 < params.k; t0 += DEPTH) {
    // Squares of four rows, or columns, and four steps of k.
    for (var slot = index; slot < ROWS; slot += ACROSS * DOWN) {
      let x = slot / 4u * 4u;
      let t = slot % 4u * 4u;
      let steps = steps_of_a(origin.a, row0 + x, t0 + t);
      for (var s = 0u; s < 4u; s++) { tile_a[((t + s) * ROWS + x) / 4u] = steps[s]; }
    }
    for (var slot = index; slot < COLS; slot += ACROSS * DOWN) {
      let x = slot / 4u * 4u;
      let t = slot % 4u * 4u;
      let steps = steps_of_b(origin.b, col0 + x, t0 + t);
      for (var s = 0u; s < 4u; s++) { tile_b[((t + s) * COLS + x) / 4u] = steps[s]; }
    }
    workgroupBarrier();
    for (var t = 0u; t < DEPTH; t++) {
      let x0 = tile_a[t * ROWS / 4u + local.y * 2u];
      let x1 = tile_a[t * ROWS / 4u + local.y * 2u + 1u];
      let y0 = tile_b[t * COLS / 4u + local.x];
      let y1 = tile_b[t * COLS / 4u + ACROSS + local.x];
      for (var r = 0u; r < 4u; r++) {
        sum[r][0] += x0[r] * y0;
        sum[r][1] += x0[r] * y1;
        sum[r + 4u][0] += x1[r] * y0;
        sum[r + 4u][1] += x1[r] * y1;
      }
    }
    workgroupBarrier();
    if ((t0 + DEPTH) % BLOCK == 0u || t0 + DEPTH >= params.k) {
      for (var r = 0u; r < 8u; r++) {
        total[r][0] += sum[r][0];
        total[r][1] += sum[r][1];
        sum[r] = array<vec4f, 2>();
      }
    }
  }

  store_all(outputs, &total);
}
