// y = x: weights of 16 bits as stored, finite ones only, in whole rows; optionally transposed ([rows, cols] -> [cols, rows]).
//
// x: words of the raw little-endian data of rows of `ld` elements, element e at bit e · 16. Of these the rows row0 .. row0 + rows and
//    columns col0 .. col0 + cols are taken
// y: words of [.., cols] from row `to_row` on, or of [cols, total_rows] from column `to_row` on; all counts of what lies along a row
//    of y are even
// bad: [1] u32, counts Inf and NaN, which become 0
//#include lib/item
const BF16 = 0u;
struct Params { rows: u32, cols: u32, row0: u32, col0: u32, ld: u32, to_row: u32, total_rows: u32, kind: u32, transposed: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<storage, read_write> bad: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = 2u * item(id, groups, 64u);
  if (at >= params.rows * params.cols) { return; }
  if (params.transposed == 1u) {
    // Two rows of x next to each other, from one column.
    let i = at / 2u % (params.rows / 2u) * 2u;
    let col = at / params.rows;
    y[(col * params.total_rows + params.to_row + i) / 2u] = bits(i, col) | (bits(i + 1u, col) << 16u);
  } else {
    let i = at / params.cols;
    let col = at % params.cols;
    y[((params.to_row + i) * params.cols + col) / 2u] = bits(i, col) | (bits(i, col + 1u) << 16u);
  }
}

fn bits(i: u32, col: u32) -> u32 {
  let e = (params.row0 + i) * params.ld + params.col0 + col;
  let value = (x[e / 2u] >> (e % 2u * 16u)) & 0xffffu;
  let exponent = select(0x7c00u, 0x7f80u, params.kind == BF16);
  if ((value & exponent) != exponent) { return value; }
  atomicAdd(&bad[0], 1u);
  return 0u;
}
