// x = x rounded to the checkpoint's dtype (ties to even), in place, so that the measured weights are the stored ones. Values
// outside the range of float16 are left unchanged, for the writer to reject.
//
// x: [n] f32; bf16: 1 bfloat16, 0 float16
//#include lib/item
//#include lib/half
struct Params { n: u32, bf16: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let at = item(id, groups, 64u);
  if (at >= params.n) { return; }
  let v = x[at];
  let bits = bitcast<u32>(v);
  if (params.bf16 == 1u) {
    x[at] = bitcast<f32>((bits + 0x7fffu + ((bits >> 16u) & 1u)) & 0xffff0000u);
  } else if (abs(v) < 65520.0) {
    x[at] = bitcast<f32>(bitcast<u32>(half_of(abs(v))) | (bits & 0x80000000u));
  }
}
