/** QuantEase on one square layer: an iteration compared with one GEMM of the same size, and with a dispatch per column. */
import gridCode from '../../shaders/lib/grid.wgsl?raw'
import halfCode from '../../shaders/lib/half.wgsl?raw'
import type { WebGpuDevice } from '../../src/gpu/webgpu.ts'
import { bufferOf } from '../../src/gpu/webgpu/buffer.ts'
import { diagonal, matmul } from '../../src/gpu/ops.ts'
import type { Tensor } from '../../src/gpu/tensor.ts'
import { resolveOptions } from '../../src/options.ts'
import { Descent } from '../../src/quant/descent.ts'
import { gridOf } from '../../src/quant/grids/index.ts'
import { layoutOf } from '../../src/quant/layout.ts'
import { quantease } from '../../src/quant/quantease.ts'
import { Derived, disposeQuantized, type LinearProblem } from '../../src/quant/solver.ts'
import type { Task } from './measure.ts'

const bits = 3
const most = 2 ** bits - 1

/** W [p, p] as the solver takes it, and Σ of as many random inputs. */
export async function makeProblem(
  gpu: WebGpuDevice,
  p: number,
  random: (length: number) => Float32Array<ArrayBuffer>,
): Promise<LinearProblem> {
  const x = gpu.upload(random(p * p), [p, p])
  const gram = matmul(gpu, x, x, { ta: true })
  x.dispose()
  const weight = gpu.upload(random(p * p), [p, p])
  return { gpu, weight, gram, gramDiagonal: await diagonal(gpu, gram), derived: new Derived(), halfScales: true }
}

export function disposeProblem({ weight, gram, derived }: LinearProblem): void {
  for (const part of [weight, gram, derived]) part.dispose()
}

const solve = (problem: LinearProblem, iterations: number, outlier = 0) =>
  quantease.solve(problem, resolveOptions(quantease.options, { bits, iterations, relax: false, outlier }).options, {})

/** Our solver as it is, set-up and closing check included. */
export function solveTask(problem: LinearProblem, iterations: number, outlier = 0): Task {
  return {
    name: `QuantEase, ${iterations} iterations, outliers ${outlier}`,
    async run(times) {
      for (let i = 0; i < times; i++) disposeQuantized(await solve(problem, iterations, outlier))
      await problem.gpu.sync()
    },
    async read() {
      const result = await solve(problem, iterations, outlier)
      const values = (await problem.gpu.read(result.what)) as Float32Array
      disposeQuantized(result)
      return values
    },
    dispose() {},
  }
}

/** One sweep in panels of so many columns. */
export function panelTask(problem: LinearProblem, panel: number): Task {
  const { gpu, weight, gramDiagonal, halfScales } = problem
  const layout = layoutOf(gramDiagonal, -1, false, true)
  const grid = gridOf({ bits, groupSize: -1, symmetric: false, grid: 'minmax' })
  const cells = grid.make(gpu, weight, layout, halfScales)
  const start = () => new Descent(problem, layout, cells, grid)
  const end = (descent: Descent) => {
    for (const part of [descent.what, descent]) part.dispose()
  }
  const descent = start()
  return {
    name: `sweep, panels of ${panel}`,
    async run(times) {
      for (let i = 0; i < times; i++) await descent.sweep(false, panel)
      await gpu.sync()
    },
    async read() {
      const fresh = start()
      await fresh.sweep(false, panel)
      const values = (await gpu.read(fresh.what)) as Float32Array
      end(fresh)
      return values
    },
    dispose() {
      end(descent)
      cells.dispose()
    },
  }
}

const params = 'struct Params { p: u32, j: u32, most: f32 }'
const gather = (lanes: 1 | 4) => `${params}
alias Value = ${lanes === 4 ? 'vec4f' : 'f32'};
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sigma: array<f32>;
@group(0) @binding(2) var<storage, read> r: array<Value>;
@group(0) @binding(3) var<storage, read_write> g: array<Value>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let width = params.p / ${lanes}u;
  if (id.x >= width) { return; }
  var sum = Value();
  for (var k = 0u; k < params.p; k++) { sum += sigma[params.j * params.p + k] * r[k * width + id.x]; }
  g[id.x] = sum / sigma[params.j * params.p + params.j];
}`
const step = `${halfCode}\n${gridCode}\n${params}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grid: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> r: array<f32>;
@group(0) @binding(3) var<storage, read> g: array<f32>;
@group(0) @binding(4) var<storage, read_write> what: array<f32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.p) { return; }
  let at = params.j * params.p + id.x;
  let v = quantized(what[at] + g[id.x], grid[id.x], params.most);
  r[at] -= v - what[at];
  what[at] = v;
}`

/**
 * One sweep with two dispatches for every column; `columns` of them per run, all of them for `read`. An invocation forms
 * the gradient of as many rows as it has lanes: one is the algorithm as it is printed, four is the best we could make of it.
 */
export async function columnTask(problem: LinearProblem, columns: number, lanes: 1 | 4): Promise<Task> {
  const { gpu, weight, gram } = problem
  const { device } = gpu as WebGpuDevice
  const p = weight.rows
  const { grid, codes, what: solved } = await solve(problem, 1)
  for (const tensor of [codes, solved]) tensor.dispose()
  const what = gpu.empty([p, p])
  const r = gpu.empty([p, p])
  const g = gpu.empty([p])

  const slot = device.limits.minUniformBufferOffsetAlignment
  const uniforms = device.createBuffer({ size: slot * p, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST })
  const values = new DataView(new ArrayBuffer(slot * p))
  for (let j = 0; j < p; j++) {
    values.setUint32(j * slot, p, true)
    values.setUint32(j * slot + 4, j, true)
    values.setFloat32(j * slot + 8, most, true)
  }
  device.queue.writeBuffer(uniforms, 0, values.buffer as ArrayBuffer)

  const kernel = (code: string, tensors: { tensor: Tensor; write?: boolean }[]) => {
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { hasDynamicOffset: true } },
        ...tensors.map(
          ({ write }, index): GPUBindGroupLayoutEntry => ({
            binding: index + 1,
            visibility: GPUShaderStage.COMPUTE,
            buffer: { type: write ? 'storage' : 'read-only-storage' },
          }),
        ),
      ],
    })
    const pipeline = device.createComputePipeline({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code }) },
    })
    const group = device.createBindGroup({
      layout,
      entries: [
        { binding: 0, resource: { buffer: uniforms, size: 16 } },
        ...tensors.map(({ tensor }, index) => ({
          binding: index + 1,
          resource: { buffer: bufferOf(tensor).gpu, offset: tensor.offset, size: tensor.bytes },
        })),
      ],
    })
    return (pass: GPUComputePassEncoder, j: number, items: number) => {
      pass.setPipeline(pipeline)
      pass.setBindGroup(0, group, [j * slot])
      pass.dispatchWorkgroups(Math.ceil(items / 32))
    }
  }
  const gathers = kernel(gather(lanes), [{ tensor: gram }, { tensor: r }, { tensor: g, write: true }])
  const steps = kernel(step, [{ tensor: grid }, { tensor: r, write: true }, { tensor: g }, { tensor: what, write: true }])
  const sweep = (last: number) => {
    const encoder = device.createCommandEncoder()
    const pass = encoder.beginComputePass()
    for (let j = 0; j < last; j++) {
      gathers(pass, j, p / lanes)
      steps(pass, j, p)
    }
    pass.end()
    device.queue.submit([encoder.finish()])
  }

  return {
    name: `QuantEase, per column, ${lanes} lanes`,
    async run(times) {
      for (let i = 0; i < times; i++) sweep(columns)
      await device.queue.onSubmittedWorkDone()
    },
    async read() {
      gpu.copy(weight, what)
      gpu.clear(r)
      gpu.flush()
      sweep(p)
      return (await gpu.read(what)) as Float32Array
    },
    dispose() {
      for (const tensor of [grid, what, r, g]) tensor.dispose()
      uniforms.destroy()
    },
  }
}
