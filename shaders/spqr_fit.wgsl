// The grid of one SpQR group (Dettmers et al., arXiv 2306.03078), columns j0 .. j0 + size − 1, from the weights
// updated by the errors of earlier columns.
// Leave-one-out test, per row of W: with E the error of the row's grid on the group, Σ_j D_j (w_j − Q(w_j))², an entry
// is left out of the range iff E − (E of the rest, on the grid of the rest) > τ. Only without its least or its greatest
// entry does a row get another grid; any other entry gains its own error and no more.
// Then the grid is searched (unless minmax): of the ranges shrunk by (a, b) in `shrink`, the first with the
// least Σ_j D_j (w_j − Q(w_j))² over the entries in the range, or the least Σ_j |w_j − Q(w_j)|^2.4.
// Bilevel: the scales and the zero points of 16 rows are rounded to 3 bits, each on such a grid of their own range.
//
// w: [size, q] f32 (input-major, processing order); root: [p] f32, √D_j; total: [1] f32, τ = total · relative
// shrink: [candidates] vec2f (a, b), the first of them (1, 1); POWER: the second of these errors, with the table of
// lib/power in powers (else anything)
// grid: [groups, q] vec2f, cells, row `group` is written
// half: what is stored in 16 bits (statistics of the 16 rows, or else the cells themselves) is float16
//#include lib/grid
//#include lib/power
override POWER: bool = false;
const RUN = 16u;
struct Params { q: u32, j0: u32, size: u32, group: u32, most: f32, relative: f32, leave_out: u32, bilevel: u32, half: u32, candidates: u32 }
@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> root: array<f32>;
@group(0) @binding(2) var<storage, read> total: array<f32>;
@group(0) @binding(3) var<storage, read> shrink: array<vec2f>;
@group(0) @binding(4) var<storage, read> powers: array<u32>;
@group(0) @binding(5) var<storage, read_write> grid: array<vec2f>;
@group(0) @binding(6) var<uniform> params: Params;

var<workgroup> cells: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = id.x;
  let half = params.half == 1u;
  let bilevel = params.bilevel == 1u;
  var cell = vec2f();
  if (row < params.q) {
    cell = search(row, kept_range(row), half && !bilevel);
  }
  cells[lane] = cell;
  workgroupBarrier();
  if (row >= params.q) { return; }
  if (bilevel) {
    let first = lane / RUN * RUN;
    let last = min(first + RUN, lane + params.q - row);
    var lo = cell;
    var hi = cell;
    for (var i = first; i < last; i++) {
      lo = min(lo, cells[i]);
      hi = max(hi, cells[i]);
    }
    cell = vec2f(
      quantized(cell.x, spanning(vec2f(lo.x, hi.x), 7.0, half), 7.0),
      quantized(cell.y, spanning(vec2f(lo.y, hi.y), 7.0, half), 7.0),
    );
  }
  grid[params.group * params.q + row] = cell;
}

// The grid that spans the numbers of a range.
fn spanning(range: vec2f, most: f32, half: bool) -> vec2f {
  return cell_of(range_of(range.x, range.y, false), most, false, half);
}

// The least and the greatest weight that the row's grid has to span.
fn kept_range(row: u32) -> vec2f {
  // The two least and the two greatest entries.
  var low = vec2f(3e38);
  var high = vec2f(-3e38);
  var least = 0u;
  var greatest = 0u;
  for (var i = 0u; i < params.size; i++) {
    let v = weight(row, i);
    if (v < low.x) { low = vec2f(v, low.x); least = i; } else { low.y = min(low.y, v); }
    if (v > high.x) { high = vec2f(v, high.x); greatest = i; } else { high.y = max(high.y, v); }
  }
  if (params.leave_out == 0u || params.size < 2u) { return vec2f(low.x, high.x); }

  let whole = spanning(vec2f(low.x, high.x), params.most, false);
  let no_least = spanning(vec2f(low.y, high.x), params.most, false);
  let no_greatest = spanning(vec2f(low.x, high.y), params.most, false);
  var all = 0.0;
  var rest = vec2f();
  for (var i = 0u; i < params.size; i++) {
    all += loss(row, i, whole);
    if (i != least) { rest.x += loss(row, i, no_least); }
    if (i != greatest) { rest.y += loss(row, i, no_greatest); }
  }
  let tau = total[0] * params.relative;
  var lo = 3e38;
  var hi = -3e38;
  for (var i = 0u; i < params.size; i++) {
    var gain = loss(row, i, whole);
    if (i == least) { gain = all - rest.x; } else if (i == greatest) { gain = all - rest.y; }
    if (gain <= tau) {
      let v = weight(row, i);
      lo = min(lo, v);
      hi = max(hi, v);
    }
  }
  return select(vec2f(lo, hi), vec2f(), lo > hi);
}

// The best grid of the shrunk ranges.
fn search(row: u32, kept: vec2f, half: bool) -> vec2f {
  var best = spanning(kept, params.most, half);
  var least = 3e38;
  let full = range_of(kept.x, kept.y, false);
  for (var c = 0u; c < params.candidates; c++) {
    let cell = cell_of(shrunk(full, shrink[c]), params.most, false, half);
    var error = 0.0;
    for (var i = 0u; i < params.size; i++) {
      let v = weight(row, i);
      if (v < kept.x || v > kept.y) { continue; }
      let off = abs(quantized(v, cell, params.most) - v);
      if (POWER) {
        error += power(off);
      } else {
        let weighted = off * root[params.j0 + i];
        error += weighted * weighted;
      }
    }
    if (error < least) {
      least = error;
      best = cell;
    }
  }
  return best;
}

fn weight(row: u32, i: u32) -> f32 {
  return w[i * params.q + row];
}

fn loss(row: u32, i: u32, cell: vec2f) -> f32 {
  let v = weight(row, i);
  let off = (quantized(v, cell, params.most) - v) * root[params.j0 + i];
  return off * off;
}
