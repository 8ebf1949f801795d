// One row g of the normal equations of the scales, for every row of W: with ŵ_h = Ŵ restricted to the columns of group h,
//   system[g, h] = ŵ_g Σ ŵ_hᵀ (h ≥ g),   system[g, groups] = ŵ_g Σ (w − ŵ)ᵀ
// from product = Σ ŵ_g, a GEMM. The diagonal is increased by a millionth, so that the system is solvable for linearly dependent groups.
//
// product: [p, rows] f32; what, rest (W − Ŵ): [p, q] f32, of which columns row0 .. row0 + rows are meant
// system: [groups, groups + 1, rows] f32
//#include lib/item
//#include lib/run
struct Params { q: u32, p: u32, size: u32, groups: u32, g: u32, row0: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> product: array<f32>;
@group(0) @binding(1) var<storage, read> what: array<f32>;
@group(0) @binding(2) var<storage, read> rest: array<f32>;
@group(0) @binding(3) var<storage, read_write> system: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let h = params.g + at / params.rows;
  if (h > params.groups) { return; }
  let row = at % params.rows;
  let all = h == params.groups;
  let first = select(h * params.size, 0u, all);
  let last = select(min(first + params.size, params.p), params.p, all);
  var sum = 0.0;
  for (var r0 = first; r0 < last; r0 += RUN) {
    var run = 0.0;
    for (var j = r0; j < min(r0 + RUN, last); j++) {
      let at = j * params.q + params.row0 + row;
      run += product[j * params.rows + row] * select(what[at], rest[at], all);
    }
    sum += run;
  }
  if (h == params.g) { sum *= 1.000001; }
  system[(params.g * (params.groups + 1u) + h) * params.rows + row] = sum;
}
