// C[z] = alpha · op(A[z]) · op(B[z]) + beta · C[z]      (f32, B also bf16 or f16; row-major; interface and batch rule as in gemm_direct)
//
// A is [m, k], or [k, m] when TA; B is [k, n], or [n, k] when TB; C is [m, n].
//
// "Tiled": a workgroup of 8 × 8 invocations makes a 64 × 64 tile of C, 8 × 8 outputs each, from tiles of 16 along k in
// workgroup memory (8 KiB). The fastest form on real GPUs.
//#include lib/gemm

const TILE = 64u;
const DEPTH = 16u;
// Both tiles lie k-major: element (t, x) at t · TILE + x.
var<workgroup> tile_a: array<f32, 1024>;
var<workgroup> tile_b: array<f32, 1024>;

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) index: u32) {
  let col0 = group.x * TILE;
  let row0 = group.y * TILE;
  if (params.symmetric > 0u && group.y + params.symmetric - 1u > group.x) { return; }
  let outer = group.z / params.inner;
  let i = group.z % params.inner;
  let a0 = params.a0 + outer * params.a_outer + i * params.a_inner;
  let b0 = params.b0 + outer * params.b_outer + (i / params.share) * params.b_inner;
  let c0 = (params.c0 + outer * params.c_outer + i * params.c_inner) / 4u;

  let ldc = params.ldc / 4u;
  var total: array<array<vec4f, 2>, 8>;
  if (params.carried == 1u) {
    for (var r = 0u; r < 8u; r++) {
      let row = row0 + local.y * 8u + r;
      if (row >= params.m) { break; }
      for (var h = 0u; h < 2u; h++) {
        let col = col0 + local.x * 8u + h * 4u;
        if (col < params.n) { total[r][h] = start(c0 + row * ldc + col / 4u); }
      }
    }
  }
  var sum: array<array<vec4f, 2>, 8>;
  for (var t0 = 0u; t0 < params.k; t0 += DEPTH) {
    // 1024 elements a tile = 256 vec4 = 4 per invocation.
    for (var part = 0u; part < 4u; part++) {
      let slot = index + part * 64u;
      if (TA) {
        let t = slot / 16u;
        let x = (slot % 16u) * 4u;
        var value = vec4f();
        if (t0 + t < params.k && row0 + x < params.m) { value = a[(a0 + (t0 + t) * params.lda + row0 + x) / 4u]; }
        let at = t * TILE + x;
        tile_a[at] = value.x; tile_a[at + 1u] = value.y; tile_a[at + 2u] = value.z; tile_a[at + 3u] = value.w;
      } else {
        let x = slot / 4u;
        let t = (slot % 4u) * 4u;
        var value = vec4f();
        if (t0 + t < params.k && row0 + x < params.m) { value = a[(a0 + (row0 + x) * params.lda + t0 + t) / 4u]; }
        let at = t * TILE + x;
        tile_a[at] = value.x; tile_a[at + TILE] = value.y; tile_a[at + 2u * TILE] = value.z; tile_a[at + 3u * TILE] = value.w;
      }
      if (TB) {
        let x = slot / 4u;
        let t = (slot % 4u) * 4u;
        var value = vec4f();
        if (t0 + t < params.k && col0 + x < params.n) { value = operand((b0 + (col0 + x) * params.ldb + t0 + t) / 4u); }
        let at = t * TILE + x;
        tile_b[at] = value.x; tile_b[at + TILE] = value.y; tile_b[at + 2u * TILE] = value.z; tile_b[at + 3u * TILE] = value.w;
      } else {
        let t = slot / 16u;
        let x = (slot % 16u) * 4u;
        var value = vec4f();
        if (t0 + t < params.k && col0 + x < params.n) { value = operand((b0 + (t0 + t) * params.ldb + col0 + x) / 4u); }
        let at = t * TILE + x;
        tile_b[at] = value.x; tile_b[at + 1u] = value.y; tile_b[at + 2u] = value.z; tile_b[at + 3u] = value.w;
      }
    }
    workgroupBarrier();
    for (var t = 0u; t < DEPTH; t++) {
      let ya = t * TILE + local.y * 8u;
      let xb = t * TILE + local.x * 8u;
      let y0 = vec4f(tile_b[xb], tile_b[xb + 1u], tile_b[xb + 2u], tile_b[xb + 3u]);
      let y1 = vec4f(tile_b[xb + 4u], tile_b[xb + 5u], tile_b[xb + 6u], tile_b[xb + 7u]);
      for (var r = 0u; r < 8u; r++) {
        let x = tile_a[ya + r];
        sum[r][0] += x * y0;
        sum[r][1] += x * y1;
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

  for (var r = 0u; r < 8u; r++) {
    let row = row0 + local.y * 8u + r;
    if (row >= params.m) { break; }
    for (var h = 0u; h < 2u; h++) {
      let col = col0 + local.x * 8u + h * 4u;
      if (col >= params.n) { continue; }
      store(c0 + row * ldc + col / 4u, total[r][h]);
    }
  }
}
