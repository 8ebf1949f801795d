// Rows are independent given Σ: per row, the candidate with the least objective (the first of equals) takes the place of
// the best so far if it is better. Ŵ goes back from processing order (π = order) to the original order of the inputs.
//
// fresh: [p, copies·q] f32, processing order; order: [p] u32; candidates: [groups, copies·q] vec2f, cells
// judged: [copies·q] vec4f (plus_judge.wgsl); best, next: [q] vec4f, likewise, before and after
// promise: compared by what the objective falls to with the best common multiple of the scales, else by the objective
// what: [p, q] f32, original order; grid: [groups, q] vec2f, cells
//#include lib/item
struct Params { q: u32, p: u32, groups: u32, copies: u32, promise: u32 }
@group(0) @binding(0) var<storage, read> fresh: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> candidates: array<vec2f>;
@group(0) @binding(3) var<storage, read> judged: array<vec4f>;
@group(0) @binding(4) var<storage, read> best: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> next: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> what: array<f32>;
@group(0) @binding(7) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.q) { return; }
  let i = at / params.q;
  let row = at % params.q;
  let wide = params.copies * params.q;
  var least = best[row];
  var won = wide;
  for (var c = row; c < wide; c += params.q) {
    let better = select(judged[c].y < least.y, judged[c].x < least.x, params.promise == 1u);
    if (better) { least = judged[c]; won = c; }
  }
  if (i == 0u) { next[row] = least; }
  if (won == wide) { return; }
  what[order[i] * params.q + row] = fresh[i * wide + won];
  if (i < params.groups) { grid[at] = candidates[i * wide + won]; }
}
