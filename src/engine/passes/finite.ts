/**
 * Where numbers stop being finite. Looked for only after a loss or a sum over inputs came out infinite or as NaN: those are
 * read anyway, so a sound run pays nothing for it, and the one that is not sound goes through the model once more.
 */
import { WorkbenchError } from '../../errors.ts'
import type { TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights } from '../../models/family.ts'
import { blockName, type OpenModel } from '../../models/open.ts'

/** How to go through a model again. */
export interface Passage {
  gpu: Device
  opened: OpenModel
  /** Blocks to look at, from the first. */
  blocks: number
  /** Blocks that are quantized, from the first. */
  quantized: number
  /** The input of the first block `[windows · t, hidden]`, which the caller gives up. */
  start(batch: TokenBatch): Promise<Tensor>
  /** Weights of block k as they were used. */
  enter(k: number): Promise<BlockWeights>
  leave(k: number, weights: BlockWeights): void
}

/** The error `activations-not-finite` for batches of which one gave a number that is not finite; names where it began. */
export async function overflow(passage: Passage, batches: readonly TokenBatch[], found: string): Promise<WorkbenchError> {
  for (const batch of batches) {
    const place = await firstPlace(passage, batch)
    if (place) return notFinite(`${place} is infinite or not a number (NaN), and so is ${found}`, passage)
  }
  return notFinite(`${found} is infinite or not a number (NaN), although every block puts out finite numbers: they are too large`, passage)
}

function notFinite(what: string, { quantized }: Passage): WorkbenchError {
  return new WorkbenchError(
    'activations-not-finite',
    `${what[0].toUpperCase()}${what.slice(1)}.`,
    quantized
      ? 'Float32 overflows here. Look at the errors of the layers before it, and choose more bits or another method.'
      : 'The weights are finite, but what is computed from them overflows float32: the checkpoint may be damaged, or config.json that of another one. Compare both with the place where the model was published.',
  )
}

/** What is not finite first, in words; null when everything is. */
async function firstPlace(passage: Passage, batch: TokenBatch): Promise<string | null> {
  const { gpu, opened, blocks, quantized } = passage
  let x = await passage.start(batch)
  try {
    if (!(await allFinite(gpu, x, batch))) return 'the embedding of the text'
    for (let k = 0; k < blocks; k++) {
      const weights = await passage.enter(k)
      try {
        const block = `${quantized > k ? 'the quantized block' : 'block'} ${blockName(opened, k, '').slice(0, -1)}`
        const steps = opened.model.block(gpu, weights, x, batch, k)
        let step = await steps.next()
        for (; !step.done; step = await steps.next()) {
          const { stage, input } = step.value
          if (await allFinite(gpu, input, batch)) continue
          await steps.return(input)
          return `in ${block}, the input of ${opened.model.layouts[k].stages[stage].map(({ name }) => name).join(', ')}`
        }
        x.dispose()
        x = step.value
        if (!(await allFinite(gpu, x, batch))) return `the output of ${block}`
      } finally {
        passage.leave(k, weights)
      }
    }
    return null
  } finally {
    x.dispose()
  }
}

/** Whether the rows of `x` `[windows · t, width]` that stand for tokens hold finite numbers only. */
async function allFinite(gpu: Device, x: Tensor, { windows, t, length }: TokenBatch): Promise<boolean> {
  const values = (await gpu.read(x)) as Float32Array
  const width = x.size / (windows * t)
  return Array.from({ length: windows }, (_, w) => values.subarray(w * t * width, (w * t + length) * width)).every((window) =>
    window.every(Number.isFinite),
  )
}
