// One step k of Gaussian elimination on the upper triangle and the right-hand side of every row's system:
//   A_ij −= A_ki A_kj / A_kk     for k < i ≤ j ≤ groups
// The matrix is positive semidefinite: no pivoting; a group whose codes are all zero has A_kk = 0 and is skipped.
//
// system: [groups, groups + 1, rows] f32
//#include lib/item
struct Params { groups: u32, k: u32, rows: u32 }
@group(0) @binding(0) var<storage, read_write> system: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let row = at % params.rows;
  let wide = params.groups - params.k;
  let i = params.k + 1u + at / params.rows / wide;
  let j = params.k + 1u + at / params.rows % wide;
  if (i >= params.groups || j < i) { return; }
  let pivot = system[entry(params.k, params.k, row)];
  if (pivot <= 0.0) { return; }
  system[entry(i, j, row)] -= system[entry(params.k, i, row)] * system[entry(params.k, j, row)] / pivot;
}

fn entry(i: u32, j: u32, row: u32) -> u32 {
  return (i * (params.groups + 1u) + j) * params.rows + row;
}
