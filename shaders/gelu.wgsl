// x = x/2 · (1 + erf(x / √2)), in place
// erf(z) = 1 − (a1 t + … + a5 t⁵) e^(−z²), t = 1 / (1 + 0.3275911 z), z ≥ 0, off by at most 1.5e-7
// (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26)
//
// x: [n / 4] vec4f
//#include lib/item
struct Params { n: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<vec4f>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n / 4u) { return; }
  let v = x[at];
  let z = min(abs(v) * 0.70710678, vec4f(9.0));
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * exp(-z * z);
  // x Φ(x) with Φ(x) = tail / 2 left of zero and 1 − tail / 2 right of it.
  x[at] = v * select(1.0 - 0.5 * tail, 0.5 * tail, v < vec4f());
}
