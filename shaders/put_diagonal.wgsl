// S[i, i] = d[i]
//
// s: [rows, p] f32, rows row0 on; d: [p] f32
struct Params { p: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read_write> s: array<f32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < params.rows) { s[id.x * params.p + params.row0 + id.x] = d[params.row0 + id.x]; }
}
