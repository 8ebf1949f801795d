// The gradient step of iterative hard thresholding, C = H + α/λ · R Σ with R = W − H − Ŵ, in processing order. On the way
//   objective[i] = Σ R ⊙ R Σ over the i-th of `parts` interleaved slices (they sum to f before the step)
//   list: indices of the entries with |C| above the floor of lib/topk, in any order; the count goes on past the capacity
//
// c: [p, q] f32, R Σ / diag(Σ) before and C after; h, r: [p, q] f32; columns: [p] vec2u (group, bits of Σ_jj)
// state: [8] u32 of lib/topk, [5] = bits of λ; list: [1 + capacity] u32 (count, indices); objective: [parts] f32
//#include lib/item
//#include lib/run
//#include lib/topk
struct Params { q: u32, p: u32, alpha: f32, parts: u32, capacity: u32 }
@group(0) @binding(0) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(1) var<storage, read> h: array<vec4f>;
@group(0) @binding(2) var<storage, read> r: array<vec4f>;
@group(0) @binding(3) var<storage, read> columns: array<vec2u>;
@group(0) @binding(4) var<storage, read> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> list: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> objective: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let part = item(id, groups, 64u);
  if (part >= params.parts) { return; }
  let least = state[4];
  let lambda = bitcast<f32>(state[5]);
  var size = 0.0;
  if (lambda > 0.0) { size = params.alpha / lambda; }
  let across = params.q / 4u;
  var sum = vec4f();
  var run = vec4f();
  var terms = 0u;
  for (var e = part; e < across * params.p; e += params.parts) {
    let gradient = bitcast<f32>(columns[e / across].y) * c[e];
    run += r[e] * gradient;
    terms++;
    if (terms % RUN == 0u) { sum += run; run = vec4f(); }
    let value = h[e] + size * gradient;
    c[e] = value;
    // Mostly none: one pass then, since the loop tests at its end.
    var above = magnitudes(value) > vec4u(least);
    loop {
      let i = select(select(select(3u, 2u, above.z), 1u, above.y), 0u, above.x);
      if (above[i]) {
        let slot = atomicAdd(&list[0], 1u);
        if (slot < params.capacity) { atomicStore(&list[1u + slot], 4u * e + i); }
      }
      above[i] = false;
      continuing {
        break if !any(above);
      }
    }
  }
  sum += run;
  objective[part] = sum.x + sum.y + sum.z + sum.w;
}
