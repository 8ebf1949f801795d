// One walk over the columns j0 .. j0 + width of four rows of W, in order, four rows per invocation and no barrier: for each
// column it calls the shader's own
//   fn step(quad: u32, k: u32, g: vec4f, diagonal: f32) -> vec4f     (column j0 + k; returns d, by how much W − Ŵ falls)
// with g = G_k, and updates the later columns of the block:  G_m −= d_k N[m, k].
//
// The shader binds g: [width, q] f32 as vec4f; n: [.., p] f32 as vec4f, whose element n0 is N[j0, j0], the diagonal that
// `step` is told; grid: [groups, q, 2] f32 (scale, zero) as vec4f; and params with q, p, n0 and width, a multiple of 4 up
// to 32.
fn walk(quad: u32) {
  let quads = params.q / 4u;
  let ld = params.p / 4u;
  // Four columns a matrix. Loops test at their end, since software adapters walk through a body until nobody enters it.
  let count = params.width / 4u;
  var done: array<mat4x4f, 8>;
  var b = 0u;
  loop {
    let k = 4u * b;
    let at = k * quads + quad;
    var now = mat4x4f(g[at], g[at + quads], g[at + 2u * quads], g[at + 3u * quads]);
    // Rows k .. k + 3 of N; their columns k .. k + 3 are in n0 .. n3.
    let t = params.n0 / 4u + k * ld;
    let n0 = n[t + b];
    let n1 = n[t + b + ld];
    let n2 = n[t + b + 2u * ld];
    let n3 = n[t + b + 3u * ld];
    // With b = 0 nothing is done yet, and zeros are taken off.
    var m = 0u;
    loop {
      let x = t + m;
      now -= done[m] * mat4x4f(n[x], n[x + ld], n[x + 2u * ld], n[x + 3u * ld]);
      continuing {
        m++;
        break if m >= b;
      }
    }
    let d0 = step(quad, k, now[0], n0.x);
    let d1 = step(quad, k + 1u, now[1] - n1.x * d0, n1.y);
    let d2 = step(quad, k + 2u, now[2] - n2.x * d0 - n2.y * d1, n2.z);
    let d3 = step(quad, k + 3u, now[3] - n3.x * d0 - n3.y * d1 - n3.z * d2, n3.w);
    done[b] = mat4x4f(d0, d1, d2, d3);
    continuing {
      b++;
      break if b >= count;
    }
  }
}

// The grids of four rows in a group, two a column.
fn cells_of(group: u32, quad: u32) -> mat2x4f {
  let at = 2u * (group * (params.q / 4u) + quad);
  return mat2x4f(grid[at], grid[at + 1u]);
}
