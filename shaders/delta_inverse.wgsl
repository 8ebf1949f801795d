// The inverse of a chunk's unit triangular matrix, by forward substitution (ops/delta.ts):
//   X = (1 + L)⁻¹;   u[i, j] = X[i, j] beta_j;   w[i, j] = X[i, j] beta_j e^total_j      (one invocation per four columns j)
//
// l, u, w: [parts · heads, chunk, chunk] f32, matrix part · heads + head, l strictly lower; beta, total: [parts · chunk, heads] f32;
// chunk a multiple of 4, at most 64
//#include lib/item
struct Params { matrices: u32, chunk: u32, heads: u32 }
@group(0) @binding(0) var<storage, read> l: array<vec4f>;
@group(0) @binding(1) var<storage, read> beta: array<f32>;
@group(0) @binding(2) var<storage, read> total: array<f32>;
@group(0) @binding(3) var<storage, read_write> u: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> w: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

const IDENTITY = mat4x4f(1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0);

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  let n = params.chunk / 4u;
  if (at >= params.matrices * n) { return; }
  let quad = at % n;
  let matrix = at / n;
  let start = matrix * params.chunk * n;
  let first = (matrix / params.heads) * params.chunk;
  let own = (first + 4u * quad + vec4u(0u, 1u, 2u, 3u)) * params.heads + matrix % params.heads;
  let step = vec4f(beta[own.x], beta[own.y], beta[own.z], beta[own.w]);
  let decayed = step * exp(vec4f(total[own.x], total[own.y], total[own.z], total[own.w]));
  var x: array<vec4f, 64>;
  for (var i = 0u; i < 4u * quad; i++) {
    u[start + i * n + quad] = vec4f();
    w[start + i * n + quad] = vec4f();
  }
  for (var i = 4u * quad; i < params.chunk; i++) {
    var value = vec4f();
    if (i / 4u == quad) { value = IDENTITY[i % 4u]; }
    // Rows from i on are still 0, and so is l there.
    for (var m = quad; m <= i / 4u; m++) {
      let row = l[start + i * n + m];
      value -= row.x * x[4u * m] + row.y * x[4u * m + 1u] + row.z * x[4u * m + 2u] + row.w * x[4u * m + 3u];
    }
    x[i] = value;
    u[start + i * n + quad] = value * step;
    w[start + i * n + quad] = value * decayed;
  }
}
