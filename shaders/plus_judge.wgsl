// Judges the candidates of every row, Ŵ with R = W − Ŵ, without a product: with P = W Σ known,
//   f = objective − λ Σ_j R_j² (+ what `base` started from),  c = Ŵ Σ Rᵀ = Σ_j P_j R_j − f,  n = Ŵ Σ Ŵᵀ = Σ_j P_j (W_j − R_j) − c
// and with all scales of the row times m = 1 + c/n, the best common multiple, f falls to f − c²/n.
// judged: (what f falls to, f, m, 0). Without SCALES m = 1, and product is not read.
//
// r: [p, copies·q] f32, processing order (π = order); order: [p] u32; w, product: [p, q] f32, original order
// objective: [copies·q] f32; base: [q] vec4f, judged before; judged: [copies·q] vec4f
//#include lib/item
//#include lib/run
override SCALES: bool = true;
struct Params { q: u32, p: u32, copies: u32, lambda: f32, continues: u32 }
@group(0) @binding(0) var<storage, read> r: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> product: array<f32>;
@group(0) @binding(4) var<storage, read> objective: array<f32>;
@group(0) @binding(5) var<storage, read> base: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> judged: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

// A larger change of the scale would leave the codes far from their best.
const MOST = 0.25;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let wide = params.copies * params.q;
  if (at >= wide) { return; }
  let row = at % params.q;
  var sums = vec3f();
  for (var i0 = 0u; i0 < params.p; i0 += RUN) {
    var run = vec3f();
    for (var i = i0; i < min(i0 + RUN, params.p); i++) {
      let off = r[i * wide + at];
      run.x += off * off;
      if (SCALES) {
        let place = order[i] * params.q + row;
        run += product[place] * vec3f(0.0, off, w[place]);
      }
    }
    sums += run;
  }
  var f = objective[at] - params.lambda * sums.x;
  if (params.continues == 1u) { f += base[row].y; }
  var multiple = 1.0;
  var least = f;
  if (SCALES) {
    let c = sums.y - f;
    let n = sums.z - sums.y - c;
    // Also false for what is no number.
    if (n > 0.0 && abs(c) < MOST * n) {
      multiple += c / n;
      least -= c * c / n;
    }
  }
  judged[at] = vec4f(least, f, multiple, 0.0);
}
