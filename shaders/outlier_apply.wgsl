// H ← P_k(C) and R −= ΔH. For a dead input (Σ_jj = 0), R has no effect: there Ŵ takes the change, to be rounded again (DEAD:
// there are such inputs).
//
// c, h, r, what: [p, q] f32 in processing order; columns: [p] vec2u (group, bits of Σ_jj)
// norms: [p] f32 (scores of columns, used when COLUMNS); state: [8] u32 of lib/topk
//#include lib/item
//#include lib/topk
override COLUMNS: bool = false;
override DEAD: bool = false;
struct Params { q: u32, p: u32 }
@group(0) @binding(0) var<storage, read> c: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> h: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> r: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> what: array<vec4f>;
@group(0) @binding(4) var<storage, read> columns: array<vec2u>;
@group(0) @binding(5) var<storage, read> norms: array<f32>;
@group(0) @binding(6) var<storage, read> state: array<u32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let across = params.q / 4u;
  if (at >= across * params.p) { return; }
  let value = c[at];
  var keep: vec4<bool>;
  if (COLUMNS) {
    let j = at / across;
    keep = vec4<bool>(chosen(norms[j], j, state[0], state[1]));
  } else {
    keep = chosen4(value, 4u * at, state[0], state[1]);
  }
  let now = select(vec4f(), value, keep);
  let change = now - h[at];
  if (all(change == vec4f())) { return; }
  h[at] = now;
  if (DEAD) {
    if (columns[at / across].y == 0u) {
      what[at] -= change;
      return;
    }
  }
  r[at] -= change;
}
