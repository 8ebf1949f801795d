// One walk over the columns j0 .. j0 + width of two rows of W, in order, one pair of rows per invocation and no barrier:
// each column is given to the shader's own
//   fn step(pair: u32, k: u32, g: vec2f, diagonal: f32) -> vec2f     (column j0 + k; returns d, by how much W − Ŵ falls)
// with g = G_k, and the later ones of these columns learn of it,  G_m −= d_k N[m, k].
//
// The shader binds g: [width, q] f32 as vec2f; n: [.., p] f32 as vec4f, whose element n0 is N[j0, j0], the diagonal that
// `step` is told; and params with q, p, n0 and width, a multiple of 4 up to 32.
fn walk(pair: u32) {
  let pairs = params.q / 2u;
  let ld = params.p / 4u;
  let width = params.width;
  var block: array<vec2f, 32>;
  for (var k = 0u; k < width; k++) { block[k] = g[k * pairs + pair]; }
  for (var k = 0u; k < width; k += 4u) {
    // Four columns of N; row m of the block stands at t + m · ld.
    let t = (params.n0 + k) / 4u;
    let at = t + k * ld;
    let n0 = n[at];
    let n1 = n[at + ld];
    let n2 = n[at + 2u * ld];
    let n3 = n[at + 3u * ld];
    let d0 = step(pair, k, block[k], n0.x);
    let d1 = step(pair, k + 1u, block[k + 1u] - n1.x * d0, n1.y);
    let d2 = step(pair, k + 2u, block[k + 2u] - n2.x * d0 - n2.y * d1, n2.z);
    let d3 = step(pair, k + 3u, block[k + 3u] - n3.x * d0 - n3.y * d1 - n3.z * d2, n3.w);
    for (var m = k + 4u; m < width; m++) {
      let row = n[t + m * ld];
      block[m] -= row.x * d0 + row.y * d1 + row.z * d2 + row.w * d3;
    }
  }
}
