// The other half: u = Σ v (summed over the parts), ρ = vᵀu, v ← u / ‖u‖. An eigenvalue lies within ‖u − ρ v‖ of ρ, so
// their sum, which is reported, is an upper bound that becomes tighter as the iteration converges.
//
// parts: [parts, p] f32; v: [p] f32, of norm 1; u: [p] f32; lambda: [1] f32          (one workgroup)
struct Params { p: u32, parts: u32 }
@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> v: array<f32>;
@group(0) @binding(2) var<storage, read_write> u: array<f32>;
@group(0) @binding(3) var<storage, read_write> lambda: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sums = vec2f();
  for (var i = lane; i < params.p; i += 256u) {
    var value = 0.0;
    for (var part = 0u; part < params.parts; part++) { value += parts[part * params.p + i]; }
    u[i] = value;
    sums += vec2f(value * value, value * v[i]);
  }
  partial[lane] = sums;
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < 256u; i++) { sums += partial[i]; }
    partial[0] = sums;
  }
  workgroupBarrier();
  let norm = sqrt(partial[0].x);
  let rho = partial[0].y;
  workgroupBarrier();
  var rest = 0.0;
  for (var i = lane; i < params.p; i += 256u) {
    let off = u[i] - rho * v[i];
    rest += off * off;
    // Σ = 0 leaves 0, and λ = 0 with it.
    v[i] = select(0.0, u[i] / norm, norm > 0.0);
  }
  partial[lane].x = rest;
  workgroupBarrier();
  if (lane > 0u) { return; }
  for (var i = 1u; i < 256u; i++) { rest += partial[i].x; }
  lambda[0] = rho + sqrt(rest);
}
