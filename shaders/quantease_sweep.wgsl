// Up to 32 columns of a sweep of coordinate descent (arXiv 2309.01885, Algorithm 1, in blocks), left-looking. Per row of W,
// for the columns j in order:
//   β = Ŵ_j + G_j,  v = Q(β) (relaxed sweep: v = β),  d = v − Ŵ_j
//   Ŵ_j = v,  R_j −= d,  G_k −= d N_kj  for the later columns k of the block
// with R = W − Ŵ and G = R·Nᵀ, formed by a GEMM before. For QuantEase N = Σ with every row divided by its Σ_kk; for GPTQ,
// one sweep from Ŵ = W, N = Vᵀ, of which only what is left of the diagonal counts.
// ONE_GROUP: all these columns are of one group, so that the grid is read once.
// MASKED: entries whose bit is set take v = β in every sweep; otherwise `mask` is not read.
// Each step changes a row's objective by Σ_jj ((v − β)² − (Ŵ_j − β)²), which is added to `objective`; SEQUENTIAL, for GPTQ with √D on
// the diagonal of Vᵀ: by D_j (v − β)², whose sum is the objective under H = V D Vᵀ.
// COUNTED: how many rounded weights of a row took another value is added to the second part of `objective`.
//
// what, r: [.., q] f32 (input-major, processing order), j0 is a row of theirs; g: [width, q] f32, that of column j0 first
// n: [.., p] f32, N[j0, j0] at element n0; columns: [.., 2] u32 (group, bits of Σ_jj), grid: [groups, q, 2] f32 (scale, zero)
// objective: [q] f32, COUNTED: and [q] more from the next multiple of 64 on; mask: [p, ceil(q / 32)] u32, one bit per row
//#include lib/grid
//#include lib/walk
struct Params { q: u32, p: u32, j0: u32, n0: u32, width: u32, most: f32, relaxed: u32 }
@group(0) @binding(0) var<storage, read_write> what: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> r: array<vec4f>;
@group(0) @binding(2) var<storage, read> g: array<vec4f>;
@group(0) @binding(3) var<storage, read> n: array<vec4f>;
@group(0) @binding(4) var<storage, read> columns: array<vec2u>;
@group(0) @binding(5) var<storage, read> grid: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> objective: array<vec4f>;
@group(0) @binding(7) var<storage, read> mask: array<u32>;
@group(0) @binding(8) var<uniform> params: Params;
override MASKED: bool = false;
override ONE_GROUP: bool = false;
override SEQUENTIAL: bool = false;
override COUNTED: bool = false;

// Of four rows: the grids, two by two, how the objective changes, and how many weights did.
var<private> cells: mat2x4f;
var<private> change: vec4f;
var<private> changed: vec4f;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let quad = id.x;
  if (quad >= params.q / 4u) { return; }
  change = vec4f();
  changed = vec4f();
  cells = cells_of(columns[params.j0].x, quad);
  walk(quad);
  objective[quad] += change;
  if (COUNTED) { objective[(params.q + 63u) / 64u * 16u + quad] += changed; }
}

fn step(quad: u32, k: u32, gradient: vec4f, diagonal: f32) -> vec4f {
  let quads = params.q / 4u;
  let j = params.j0 + k;
  let at = j * quads + quad;
  let column = columns[j];
  let old = what[at];
  let beta = old + gradient;
  var v = beta;
  if (params.relaxed == 0u) {
    if (!ONE_GROUP) { cells = cells_of(column.x, quad); }
    v = quantized4(beta, cells, params.most);
    if (COUNTED) { changed += vec4f(v != old); }
    if (MASKED) {
      let bits = mask[j * ((params.q + 31u) / 32u) + quad / 8u] >> (quad % 8u * 4u);
      let free = (vec4u(bits) & vec4u(1u, 2u, 4u, 8u)) != vec4u();
      if (COUNTED) { changed -= vec4f(free & (v != old)); }
      v = select(v, beta, free);
    }
  }
  let d = v - old;
  what[at] = v;
  r[at] -= d;
  if (SEQUENTIAL) {
    let lost = diagonal * (v - beta);
    change += lost * lost;
  } else {
    change += bitcast<f32>(column.y) * d * (v + old - 2.0 * beta);
  }
  return d;
}
