// S[i, j] = S[j, i] for j < i: completes a symmetric matrix of which the upper tiles were computed, for both i and j in the
// rows row0 .. row0 + rows; mirror_panels does it between two such panels.
//
// s: [rows, p] f32, in place
//#include lib/item
struct Params { p: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let i = at / params.p;
  let j = at % params.p;
  if (i >= params.rows || j < params.row0 || j >= params.row0 + i) { return; }
  s[at] = s[(j - params.row0) * params.p + params.row0 + i];
}
