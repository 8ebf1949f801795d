/**
 * WebGPU in Node, by Dawn. While one of its promises is pending, the package polls Dawn on every turn of the event loop without a pause.
 * That takes a whole core; with a software adapter on two cores, it made every matrix product 1.5 times slower. So the loop sleeps
 * between two turns. Importing this module makes WebGPU's names global.
 */
import { create, globals } from 'webgpu'

/** The longest rest, in ms: little beside what waits for it, and the event loop has other guests. */
const LONGEST_REST = 1
/** A rest lasts at most this share of the time since something began or ended, so that short waits stay short. */
const REST_SHARE = 1 / 8

const never = new Int32Array(new SharedArrayBuffer(4))
let open = 0
let resting = false
let lastEvent = 0

function rest(): void {
  resting = open > 0
  if (!resting) return
  Atomics.wait(never, 0, 0, Math.min(LONGEST_REST, (performance.now() - lastEvent) * REST_SHARE))
  setImmediate(rest)
}

/** Makes the event loop rest as long as a promise from `name` is open. */
function restWhile<Name extends string>(prototype: Record<Name, (...given: never[]) => Promise<unknown>>, name: Name): void {
  const original = prototype[name]
  const end = () => {
    open--
    lastEvent = performance.now()
  }
  prototype[name] = function (...given) {
    const promise = original.apply(this, given)
    open++
    lastEvent = performance.now()
    promise.then(end, end)
    if (!resting) {
      resting = true
      setImmediate(rest)
    }
    return promise
  }
}

Object.assign(globalThis, globals)
restWhile(GPUBuffer.prototype, 'mapAsync')
restWhile(GPUQueue.prototype, 'onSubmittedWorkDone')

/** Dawn's entry point. Keep it referenced: once collected, it takes the process down. */
export const dawn = (): GPU => create([])
