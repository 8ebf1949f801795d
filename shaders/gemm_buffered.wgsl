// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, B also bf16 or f16, A also scaled f16; row-major;
// interface and batch rule as in gemm_direct)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n].
//
// "Buffered": as gemm_tiled, but with workgroup memory for two tiles of 16 along k: while one is multiplied, the next is on its way, first
// into registers. One barrier per tile, and no wait for memory where multiplying takes longer.
//#include lib/gemm
//#include lib/shape
//#include lib/squares

const ROWS = 8u * DOWN;
const COLS = 8u * ACROSS;
const DEPTH = 16u;
// Both tiles lie k-major, four rows or columns in an element: (t, x) in element (t · ROWS + x) / 4.
var<workgroup> tiles_a: array<array<vec4f, 32u * DOWN>, 2>;
var<workgroup> tiles_b: array<array<vec4f, 32u * ACROSS>, 2>;

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let col0 = group.x * COLS;
  let row0 = group.y * ROWS;
  if (below_diagonal(row0, col0 + COLS)) { return; }
  let origin = origin_of(group.z);
  let outputs = outputs_of(origin.c, row0, col0, local.xy);
  var total = begun(outputs);
  var sum: array<array<vec4f, 2>, 8>;
  // A square of A and one of B for each invocation, as long as there are any (as many as rows and columns of the tile).
  let x = index / 4u * 4u;
  let t = index % 4u * 4u;
  if (index < ROWS) { keep_a(0u, t, x, steps_of_a(origin.a, row0 + x, t)); }
  if (index < COLS) { keep_b(0u, t, x, steps_of_b(origin.b, col0 + x, t)); }
  workgroupBarrier();
  for (var t0 = 0u; t0 < params.k; t0 += DEPTH) {
    let here = t0 / DEPTH % 2u;
    let more = t0 + DEPTH < params.k;
    var next_a = mat4x4f();
    var next_b = mat4x4f();
    if (more && index < ROWS) { next_a = steps_of_a(origin.a, row0 + x, t0 + DEPTH + t); }
    if (more && index < COLS) { next_b = steps_of_b(origin.b, col0 + x, t0 + DEPTH + t); }
    for (var s = 0u; s < DEPTH; s++) {
      let x0 = tiles_a[here][s * ROWS / 4u + local.y * 2u];
      let x1 = tiles_a[here][s * ROWS / 4u + local.y * 2u + 1u];
      let y0 = tiles_b[here][s * COLS / 4u + local.x];
      let y1 = tiles_b[here][s * COLS / 4u + ACROSS + local.x];
      for (var r = 0u; r < 4u; r++) {
        sum[r][0] += x0[r] * y0;
        sum[r][1] += x0[r] * y1;
        sum[r + 4u][0] += x1[r] * y0;
        sum[r + 4u][1] += x1[r] * y1;
      }
    }
    if (more && index < ROWS) { keep_a(1u - here, t, x, next_a); }
    if (more && index < COLS) { keep_b(1u - here, t, x, next_b); }
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

// Puts the steps t … t + 3 of four rows of A, from row x of the tile on, in their place.
fn keep_a(buffer: u32, t: u32, x: u32, steps: mat4x4f) {
  for (var s = 0u; s < 4u; s++) { tiles_a[buffer][((t + s) * ROWS + x) / 4u] = steps[s]; }
}

fn keep_b(buffer: u32, t: u32, x: u32, steps: mat4x4f) {
  for (var s = 0u; s < 4u; s++) { tiles_b[buffer][((t + s) * COLS + x) / 4u] = steps[s]; }
}
