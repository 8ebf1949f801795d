// Rows of N from those that mirror them in a finished factor A, whose rows and columns go backwards; the upper half of A counts:
//   N[i, j] = A[p − 1 − i, p − 1 − j] for j ≤ i,  0 above the diagonal
//
// a: [rows, p] f32, rows p − row0 − rows on; n: [.., p] f32, N[row0, 0] at element n0; four neighbouring columns per invocation
//#include lib/item
struct Params { p: u32, row0: u32, rows: u32, n0: u32 }
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> n: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let ld = params.p / 4u;
  if (at >= params.rows * ld) { return; }
  let row = at / ld;
  let j = at % ld;
  let columns = vec4u(0u, 1u, 2u, 3u) + 4u * j;
  let mirrored = a[(params.rows - 1u - row) * ld + ld - 1u - j].wzyx;
  n[params.n0 / 4u + at] = select(vec4f(), mirrored, columns <= vec4u(params.row0 + row));
}
