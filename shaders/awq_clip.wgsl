// Keeps the better clip of every row and group: where e = Σ_{j in group} d[j] (Σ d)[j] is less than the least so far,
//   least = e,  clip = keep · max|w|
//
// w, d: [p, q] f32 (input-major); product: [p, q] f32, Σ[g, g] d[g] for each group g, a run of `size` inputs
// least, clip: [groups, q] f32
//#include lib/item
//#include lib/run
struct Params { q: u32, p: u32, size: u32, groups: u32, keep: f32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> d: array<f32>;
@group(0) @binding(2) var<storage, read> product: array<f32>;
@group(0) @binding(3) var<storage, read_write> least: array<f32>;
@group(0) @binding(4) var<storage, read_write> clip: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.groups * params.q) { return; }
  let row = at % params.q;
  let first = (at / params.q) * params.size;
  let last = min(first + params.size, params.p);
  var error = 0.0;
  var most = 0.0;
  for (var r0 = first; r0 < last; r0 += RUN) {
    var run = 0.0;
    for (var j = r0; j < min(r0 + RUN, last); j++) {
      let e = j * params.q + row;
      run += d[e] * product[e];
      most = max(most, abs(w[e]));
    }
    error += run;
  }
  if (error < least[at]) {
    least[at] = error;
    clip[at] = params.keep * most;
  }
}
