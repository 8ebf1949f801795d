// Half of a step of the power iteration: parts[part, i] = Σ_j Σ[j, i] · v_j over the part's share of the rows j.
//
// sigma: [.., p] f32, symmetric, of which the row panel row0 .. row0 + panel is bound; v: [p] f32; parts: [.., p] f32, of which
// those that belong to these rows are written
//#include lib/item
struct Params { p: u32, rows: u32, row0: u32, panel: u32 }
@group(0) @binding(0) var<storage, read> sigma: array<f32>;
@group(0) @binding(1) var<storage, read> v: array<f32>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let first = (at / params.p) * params.rows;
  if (first >= params.panel) { return; }
  let i = at % params.p;
  var sum = 0.0;
  for (var j = first; j < min(first + params.rows, params.panel); j++) { sum += sigma[j * params.p + i] * v[params.row0 + j]; }
  parts[(params.row0 / params.rows) * params.p + at] = sum;
}
