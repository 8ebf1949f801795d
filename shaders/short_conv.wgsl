// y[i, c] = silu(Σ_j w[c, j] x[i − 3 + j, c]), j = 0 … 3,  silu(x) = x / (1 + e^−x); rows before a window's first count as 0
// (a causal convolution of four taps for each channel)
//
// x, y: [rows, cols] f32, of windows of `window` rows; w: [cols, 4] f32; cols a multiple of 4
//#include lib/item
struct Params { rows: u32, cols: u32, window: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  let n = params.cols / 4u;
  if (at >= params.rows * n) { return; }
  let c = at % n;
  let before = min((at / n) % params.window, 3u);
  // Columns: the same tap of four channels.
  let taps = transpose(mat4x4f(w[4u * c], w[4u * c + 1u], w[4u * c + 2u], w[4u * c + 3u]));
  var sum = taps[3] * x[at];
  for (var j = 1u; j <= before; j++) { sum += taps[3u - j] * x[at - j * n]; }
  y[at] = sum / (1.0 + exp(-sum));
}
