// Partial sums of the Kullback–Leibler divergence of a model from a reference, for each row and block of 1024 vocabulary entries.
// With logits f of the reference and x of the model, m their largest f in the block (see logsumexp), p = e^(f − m),
//   r = Σ p (x − f) / Σ p, roughly;  u = x − f − r,   a = Σ p (e^u − 1 − u),   b = Σ p u
// No term of a is negative and b is about 0, so nothing cancels, however alike the two are; the host joins the blocks in
// float64, knowing r.
//
// full, logits: [rows, ld] f32, columns 0 .. count are the vocabulary entries of this panel
// reference, model: [rows, blocks] vec4f, what logsumexp made of full and of logits
// terms: [rows, blocks] vec4f (a, b, r, 0), this call writes the `some` blocks from block0 on
//
// One invocation for each row and block.
//#include lib/item
//#include lib/vocabulary
struct Params { rows: u32, ld: u32, count: u32, some: u32, blocks: u32, block0: u32 }
@group(0) @binding(0) var<storage, read> full: array<vec4f>;
@group(0) @binding(1) var<storage, read> logits: array<vec4f>;
@group(0) @binding(2) var<storage, read> reference: array<vec4f>;
@group(0) @binding(3) var<storage, read> model: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> terms: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 32u);
  let row = at / params.some;
  let block = at % params.some;
  if (row >= params.rows) { return; }
  let start = row * (params.ld / 4u);
  let begin = block * QUADS;
  let count = min(QUADS, (params.count + 3u) / 4u - begin);
  let to = row * params.blocks + params.block0 + block;
  let most_f = reference[to].x;
  let most_x = model[to].x;
  let last = params.count - 4u * begin;

  var mean = vec4f();
  for (var k = 0u; k < count; k++) {
    let f = full[start + begin + k];
    mean += select(vec4f(), exp(f - most_f) * (logits[start + begin + k] - f - (most_x - most_f)), within(k, last));
  }
  // Within bounds, so that no e^u leaves the range.
  let r = most_x - most_f + clamp(((mean.x + mean.y) + (mean.z + mean.w)) / reference[to].y, -8.0, 8.0);

  var a = vec4f();
  var b = vec4f();
  for (var i = 0u; i < count; i += RUN) {
    var run_a = vec4f();
    var run_b = vec4f();
    for (var k = i; k < min(i + RUN, count); k++) {
      let f = full[start + begin + k];
      let x = logits[start + begin + k];
      let u = (x - f - r) + rounded_off(x, f);
      let p = exp(f - most_f);
      // e^u − 1 − u by its series where the difference would lose digits.
      let c = clamp(u, vec4f(-1.0), vec4f(1.0));
      var term = p * c * c * (0.5 + c * (1.6666667e-1 + c * (4.1666668e-2 + c * (8.3333338e-3 + c * (1.3888889e-3
        + c * (1.9841270e-4 + c * (2.4801588e-5 + c * (2.7557319e-6 + c * 2.7557319e-7))))))));
      if (any(abs(u) >= vec4f(1.0))) { term = select(exp(x - most_f - r) - p - p * u, term, abs(u) < vec4f(1.0)); }
      let sound = within(k, last);
      run_a += select(vec4f(), term, sound);
      run_b += select(vec4f(), p * u, sound);
    }
    a += run_a;
    b += run_b;
  }
  terms[to] = vec4f((a.x + a.y) + (a.z + a.w), (b.x + b.y) + (b.z + b.w), r, 0.0);
}

// Which of the four entries from 4 k on are before the last; what lies beyond may be anything.
fn within(k: u32, last: u32) -> vec4<bool> {
  return 4u * k + vec4u(0u, 1u, 2u, 3u) < vec4u(last);
}

// What is lost in rounding x − f, exactly (Knuth): u may be small beside it, where the logits are shifted against each other.
fn rounded_off(x: vec4f, f: vec4f) -> vec4f {
  let difference = x - f;
  let virtual_f = x - difference;
  return (x - (difference + virtual_f)) + (virtual_f - f);
}
