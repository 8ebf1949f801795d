// GPTQ's walk over the columns j0 .. j0 + 4 · quads of one row of W: each column is given to the shader's own
//   fn step(row: u32, k: u32, w: f32, diagonal: f32) -> f32     (rounds column j0 + k, returns its error e over U_jj)
// and the later columns of the block are compensated, w_k −= Σ_j e_j U_jk.
//
// The shader binds x: [p, q] f32, ut: [.., p] as vec4f (Uᵀ; row j0 starts at element u0), and params with p, q, j0, u0.
fn walk(row: u32, quads: u32) {
  let q = params.q;
  let ld = params.p / 4u;
  var block: array<vec4f, 8>;
  for (var i = 0u; i < quads; i++) {
    let at = (params.j0 + i * 4u) * q + row;
    block[i] = vec4f(x[at], x[at + q], x[at + 2u * q], x[at + 3u * q]);
  }
  for (var i = 0u; i < quads; i++) {
    // Columns j0 + 4i .. + 3 of Uᵀ; row k of the block starts at t + k · ld.
    let t = (params.u0 + params.j0) / 4u + i;
    let k0 = i * 4u;
    let u0 = ut[t + k0 * ld];
    let u1 = ut[t + (k0 + 1u) * ld];
    let u2 = ut[t + (k0 + 2u) * ld];
    let u3 = ut[t + (k0 + 3u) * ld];
    let now = block[i];
    let e0 = step(row, k0, now.x, u0.x);
    let e1 = step(row, k0 + 1u, now.y - e0 * u1.x, u1.y);
    let e2 = step(row, k0 + 2u, now.z - e0 * u2.x - e1 * u2.y, u2.z);
    let e3 = step(row, k0 + 3u, now.w - e0 * u3.x - e1 * u3.y - e2 * u3.z, u3.w);
    let errors = vec4f(e0, e1, e2, e3);
    for (var m = i + 1u; m < quads; m++) {
      let s = t + m * 4u * ld;
      block[m] -= vec4f(dot(ut[s], errors), dot(ut[s + ld], errors), dot(ut[s + 2u * ld], errors), dot(ut[s + 3u * ld], errors));
    }
  }
}
