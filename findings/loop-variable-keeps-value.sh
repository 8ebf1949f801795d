#!/usr/bin/env bash
# A WGSL variable that is declared inside a loop, without an initializer, is zero each time the declaration is reached
# (WGSL, "Initial value of variables"). In Dawn of the npm package webgpu 0.6.2, it keeps its value from the previous iteration, on
# SwiftShader and on Mesa's llvmpipe, so that sums in a kernel are silently wrong. With an initializer, `= 0.0`, the result is correct.
# Needs a WebGPU adapter; VK_DRIVER_FILES and LD_LIBRARY_PATH may name one. Exits with 0 while that is so, 1 once it is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund webgpu@0.6.2 >/dev/null
cat > loop.mjs <<'JS'
import { create } from 'webgpu'
const gpu = create([])
const adapter = await gpu.requestAdapter()
if (!adapter) {
  console.log('There is no WebGPU adapter here.')
  process.exit(2)
}
const device = await adapter.requestDevice()
async function sums(initializer) {
  const code = `
    @group(0) @binding(0) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(1) fn main() {
      for (var k = 0u; k < 3u; k++) {
        var sum: f32${initializer};
        for (var j = 0u; j < 4u; j++) { sum += 1.0; }
        out[k] = sum;
      }
    }`
  const module = device.createShaderModule({ code })
  const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } })
  const [storage, copySrc, copyDst, mapRead] = [0x80, 0x4, 0x8, 0x1]
  const buffer = device.createBuffer({ size: 12, usage: storage | copySrc })
  const staging = device.createBuffer({ size: 12, usage: mapRead | copyDst })
  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(pipeline)
  pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] }))
  pass.dispatchWorkgroups(1)
  pass.end()
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, 12)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(1)
  return [...new Float32Array(staging.getMappedRange())].join()
}
const [bare, written] = [await sums(''), await sums(' = 0.0')]
console.log(`${adapter.info.description || adapter.info.device}: without an initializer ${bare} (4,4,4 expected), with one ${written}`)
process.exit(bare === '4,8,12' && written === '4,4,4' ? 0 : 1)
JS
node loop.mjs
