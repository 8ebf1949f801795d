// Decay between the positions i and j of a chunk, onto products of its keys and queries (ops/delta.ts), in place:
//   kk[i, j] ← beta_i e^(total_i − total_j) kk[i, j] where j < i, else 0;   qk[i, j] ← e^(total_i − total_j) qk[i, j] where j ≤ i, else 0
//
// kk, qk: [parts · heads, chunk, chunk] f32, matrix part · heads + head; beta, total: [parts · chunk, heads] f32; chunk a multiple of 4
//#include lib/item
struct Params { matrices: u32, chunk: u32, heads: u32 }
@group(0) @binding(0) var<storage, read_write> kk: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> qk: array<vec4f>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let n = params.chunk / 4u;
  if (at >= params.matrices * params.chunk * n) { return; }
  let row = at / n;
  let i = row % params.chunk;
  let j = vec4u(4u * (at % n)) + vec4u(0u, 1u, 2u, 3u);
  if (j.x > i) {
    kk[at] = vec4f();
    qk[at] = vec4f();
    return;
  }
  let matrix = row / params.chunk;
  let first = (matrix / params.heads) * params.chunk;
  let head = matrix % params.heads;
  let own = (first + i) * params.heads + head;
  let others = (vec4u(first) + j) * params.heads + head;
  let totals = vec4f(total[others.x], total[others.y], total[others.z], total[others.w]);
  // What is masked must not overflow: it decays backwards.
  let decay = exp(min(total[own] - totals, vec4f()));
  kk[at] = select(vec4f(), beta[own] * decay * kk[at], j < vec4u(i));
  qk[at] = select(vec4f(), decay * qk[at], j <= vec4u(i));
}
