// y = x / scale as f16, to the nearest, ties to even; scale = 2^e of each row, so that its largest magnitude lies in [2^14, 2^15)
//
// x: [rows, cols] f32; y: [rows, cols / 4] pairs of words with two f16 each; scales: [rows] f32. cols is a multiple of 4
// factors: [cols] f32, where there are any: powers of two that columns of x are multiplied by first
//
// Nothing overflows, and what would be subnormal, below 2^-28 of the row's largest, becomes 0. A row with Inf or NaN has that for its
// scale, so that nothing finite comes of it. One workgroup per row.
//#include lib/factor
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> largest: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x + group.y * groups.x;
  if (row >= params.rows) { return; }
  let n = params.cols / 4u;
  let start = row * n;
  // Magnitudes are in the order of their bits, NaN above all.
  var most = 0u;
  for (var i = lane; i < n; i += 64u) {
    let bits = bitcast<vec4u>(factored(x[start + i], i)) & vec4u(0x7fffffffu);
    most = max(most, max(max(bits.x, bits.y), max(bits.z, bits.w)));
  }
  largest[lane] = most;
  for (var half = 32u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { largest[lane] = max(largest[lane], largest[lane + half]); }
  }
  workgroupBarrier();
  most = largest[0];
  // By its exponent: 2^(exponent - 127 - 14). Rows of next to nothing are not scaled further than f32 reaches.
  let exponent = max(most >> 23u, 16u);
  if (lane == 0u) { scales[row] = bitcast<f32>(select((exponent - 14u) << 23u, most, exponent == 255u)); }
  let inverse = bitcast<f32>(select((268u - exponent) << 23u, 0u, exponent == 255u));
  for (var i = lane; i < n; i += 64u) {
    let h = half_bits(bitcast<vec4u>(factored(x[start + i], i) * inverse));
    y[start + i] = vec2u(h.x | (h.y << 16u), h.z | (h.w << 16u));
  }
}

// Of f32 below 2^15 by their bits. By integer arithmetic, since pack2x16float rounds as the device likes.
fn half_bits(bits: vec4u) -> vec4u {
  let magnitude = bits & vec4u(0x7fffffffu);
  let rounded = (magnitude + vec4u(0xfffu) + ((magnitude >> vec4u(13u)) & vec4u(1u))) >> vec4u(13u);
  let half = select(rounded - vec4u(0x1c000u), vec4u(), rounded < vec4u(0x1c400u));
  return (half & vec4u(0x7fffu)) | ((bits >> vec4u(16u)) & vec4u(0x8000u));
}
