/** Errors of a device as sentences. */
import { WorkbenchError } from '../errors.ts'
import { type KernelSource, originOf } from './kernel.ts'

export function lostError(lost: GPUDeviceLostInfo): WorkbenchError {
  return new WorkbenchError(
    'gpu-lost',
    `The GPU was lost (${lost.reason})${lost.message ? `: ${lost.message}` : '.'}`,
    'Finished layers are kept. Close other programs that use the GPU, reload the page and start again.',
  )
}

/** An error that no scope caught. One of validation is a mistake of ours: it stays a bug and keeps its stack. */
export function uncaptured(error: GPUError): Error {
  if (typeof GPUOutOfMemoryError !== 'undefined' && error instanceof GPUOutOfMemoryError) {
    return new WorkbenchError(
      'gpu-out-of-memory',
      'The GPU has no memory left for the next step.',
      'Close other programs that use the GPU, or choose fewer or shorter calibration samples.',
    )
  }
  if (typeof GPUInternalError !== 'undefined' && error instanceof GPUInternalError) {
    return new WorkbenchError(
      'gpu-failed',
      `The GPU’s driver failed: ${error.message}`,
      'Start again. If it happens each time, update the graphics driver or use another browser.',
    )
  }
  return new Error(`WebGPU: ${error.message}`)
}

/** Why a pipeline could not be made: the first error of the compiler, with the shader file and line that it is about. */
export async function compileError(source: KernelSource, module: GPUShaderModule, error: GPUError): Promise<WorkbenchError> {
  const { messages } = await module.getCompilationInfo().catch(() => ({ messages: [] as GPUCompilationMessage[] }))
  const first = messages.find(({ type }) => type === 'error')
  const at = first && `${originOf(source, first.lineNum)}${first.linePos ? `, column ${first.linePos}` : ''}`
  const text = first && source.lines[first.lineNum - 1]?.text.trim()
  const why = first ? `${at}: ${first.message}${text ? ` (“${text}”)` : ''}` : error.message
  return new WorkbenchError(
    'gpu-shader',
    `The kernel ${source.name} cannot be compiled for this GPU: ${why}`,
    'Update the browser and the graphics driver, or use another browser.',
  )
}
