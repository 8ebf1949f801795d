// d[i] = S[i, i]
//
// s: [rows, p] f32, rows row0 on; d: [p] f32
struct Params { p: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> s: array<f32>;
@group(0) @binding(1) var<storage, read_write> d: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.rows) { d[params.row0 + id.x] = s[id.x * params.p + params.row0 + id.x]; }
}
