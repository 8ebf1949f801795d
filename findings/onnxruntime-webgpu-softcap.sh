#!/bin/sh
# onnxruntime 1.30.0 overlooks `softcap` of GroupQueryAttention in its WebGPU kernels, and says nothing.
#
# Seen: one head over four tokens; with softcap 1 the CPU's output moves by a tenth and more of its largest value, and WebGPU's is
# the one without a cap, to 1e-6. So graphs of Gemma 2, which caps scores at 50, run in the browser and answer a little or, where
# scores are large, very wrongly. The operator's description has the attribute, and the kernel reads it.
#
# The adapter is SwiftShader, which comes with Debian's Chromium; another one is taken where VK_DRIVER_FILES names it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
: "${VK_DRIVER_FILES:=/usr/lib/chromium/vk_swiftshader_icd.json}"
export VK_DRIVER_FILES LD_LIBRARY_PATH="$(dirname "$VK_DRIVER_FILES"):${LD_LIBRARY_PATH:-}"
npm init -y >/dev/null
npm install --silent --ignore-scripts onnxruntime-node@1.30.0
python3 -m venv venv
venv/bin/pip install --quiet onnx==1.19.1
venv/bin/python - <<'PYTHON'
from onnx import TensorProto, helper, save

for name, cap in (("plain", 0.0), ("capped", 1.0)):
    node = helper.make_node(
        "GroupQueryAttention",
        ["q", "k", "v", "", "", "last", "total"],
        ["y"],
        domain="com.microsoft",
        num_heads=1,
        kv_num_heads=1,
        softcap=cap,
    )
    floats = [helper.make_tensor_value_info(one, TensorProto.FLOAT, [1, 4, 8]) for one in "qkv"]
    lengths = [helper.make_tensor_value_info(one, TensorProto.INT32, [1]) for one in ("last", "total")]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8])
    graph = helper.make_graph([node], "attention", floats + lengths, [y])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    save(helper.make_model(graph, opset_imports=opsets, ir_version=10), f"{name}.onnx")
PYTHON
cat >run.mjs <<'JS'
import assert from 'node:assert'
import ort from 'onnxruntime-node'

const floats = (step) => new ort.Tensor('float32', Float32Array.from({ length: 32 }, (_, i) => 4 * Math.sin(i * step)), [1, 4, 8])
const feeds = {
  q: floats(1),
  k: floats(2),
  v: floats(3),
  last: new ort.Tensor('int32', Int32Array.of(3), [1]),
  total: new ort.Tensor('int32', Int32Array.of(4), [1]),
}
async function output(file, provider) {
  const session = await ort.InferenceSession.create(file, { executionProviders: [provider], logSeverityLevel: 3 })
  return (await session.run(feeds)).y.data
}
const far = (a, b) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0) / Math.max(...b.map(Math.abs))
const plain = await output('plain.onnx', 'cpu')
const moved = { cpu: far(await output('capped.onnx', 'cpu'), plain), webgpu: far(await output('capped.onnx', 'webgpu'), plain) }
const same = far(await output('plain.onnx', 'webgpu'), plain)
console.log(`the cap moves the output by ${moved.cpu} on CPU, by ${moved.webgpu} on WebGPU; without a cap they differ by ${same}`)
assert(moved.cpu > 0.1 && moved.webgpu < 1e-5 && same < 1e-5)
console.log('as stated')
JS
node run.mjs
