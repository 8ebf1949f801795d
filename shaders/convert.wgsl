// y = f32(x): weights as stored, bf16, f16 or f32, to f32; optionally transposed ([rows, cols] -> [cols, rows]).
//
// x: words of the raw little-endian data of whole rows of `ld` elements; element e is at bit `e · 32` (f32) or `e · 16`
//    (bf16, f16). Of these the rows row0 .. row0 + rows and columns col0 .. col0 + cols are taken
// y: [.., cols] f32 from row `to_row` on, or [cols, total_rows] from column `to_row` on
// bad: [1] u32, counts Inf and NaN (by bit pattern: shaders may assume that floats are finite)
//#include lib/item
const BF16 = 0u;
const F16 = 1u;
struct Params { rows: u32, cols: u32, row0: u32, col0: u32, ld: u32, to_row: u32, total_rows: u32, kind: u32, transposed: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> bad: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  let i = at / params.cols;
  let col = at % params.cols;
  let e = (params.row0 + i) * params.ld + params.col0 + col;
  var value: f32;
  var finite: bool;
  if (params.kind > F16) {
    let word = x[e];
    value = bitcast<f32>(word);
    finite = (word & 0x7f800000u) != 0x7f800000u;
  } else {
    let word = x[e / 2u];
    let bits = select(word & 0xffffu, word >> 16u, (e & 1u) == 1u);
    if (params.kind == BF16) {
      value = bitcast<f32>(bits << 16u);
      finite = (bits & 0x7f80u) != 0x7f80u;
    } else {
      finite = (bits & 0x7c00u) != 0x7c00u;
      value = half(bits);
    }
  }
  if (!finite) {
    atomicAdd(&bad[0], 1u);
    value = 0.0;
  }
  let row = params.to_row + i;
  if (params.transposed == 1u) { y[col * params.total_rows + row] = value; } else { y[row * params.cols + col] = value; }
}

// unpack2x16float may flush subnormals; small scales and weights need them.
fn half(bits: u32) -> f32 {
  let magnitude = bits & 0x7fffu;
  var value: f32;
  if (magnitude < 0x400u) { value = f32(magnitude) * 5.9604644775390625e-8; } else { value = bitcast<f32>((magnitude << 13u) + 0x38000000u); }
  return select(value, -value, (bits & 0x8000u) != 0u);
}
