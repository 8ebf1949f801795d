// H = P_k(W): the entries chosen by a top-k selection, or whole columns of W when `columns`; 0 elsewhere.
//
// w, h: [p, q] f32; norms: [p] f32 (scores of columns); state: [8] u32 of lib/topk
//#include lib/item
//#include lib/topk
struct Params { q: u32, p: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> norms: array<f32>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.p * params.q) { return; }
  let j = at / params.q;
  var keep = false;
  if (params.columns == 1u) { keep = chosen(norms[j], j, state[0], state[1]); } else { keep = chosen(w[at], at, state[0], state[1]); }
  h[at] = select(0.0, w[at], keep);
}
