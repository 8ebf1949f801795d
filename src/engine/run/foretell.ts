/** What a quantized model says next by our own forward pass, to hold another program's words against. */
import { WorkbenchError } from '../../errors.ts'
import { batched, flatIds, type TokenBatch } from '../../eval/perplexity.ts'
import type { Device } from '../../gpu/device.ts'
import { applyHead } from '../../gpu/head.ts'
import { embed } from '../../gpu/ops.ts'
import type { Tensor } from '../../gpu/tensor.ts'
import type { BlockWeights } from '../../models/family.ts'
import { disposeBlock, disposePanels, loadBlock } from '../../models/weights.ts'
import type { OpenModel } from '../../models/open.ts'
import { inputsOf } from '../../models/token-inputs.ts'
import type { Store } from '../../io/bytes.ts'
import { restore } from '../../quant/linear.ts'
import { modelDigest } from '../keep/fingerprint.ts'
import { readHead } from '../keep/journal-files.ts'
import { SolvedBlocks } from '../keep/solved.ts'
import type { Foretold, NextToken } from '../job/foretold.ts'
import type { RunSpec } from '../job/job.ts'
import type { Session } from '../session.ts'
import { last } from '../passes/forward.ts'
import { endsOf, type Kept, restoreBlock } from '../passes/restore.ts'

/**
 * What run `i` of the job in the journal would say after a prompt, where `said` was said.
 * @throws WorkbenchError `journal-mismatch` when what it solved was not kept, or was solved on another model
 */
export async function foretellRun(session: Session, journal: Store, i: number, prompt: string, said: number[]): Promise<Foretold> {
  const head = (await readHead(journal))!
  if (head.fingerprint.model !== (await modelDigest(session.model, session.source)))
    throw new WorkbenchError('journal-mismatch', 'The model that is open holds other weights.', 'Open the one that the run was made from.')
  const before = session.tokenizer.encode(prompt)
  const kept = await SolvedBlocks.open(journal, i)
  try {
    const spec = head.job.runs[i]
    const blocks = Number(spec.options.blocks) || session.model.model.shape.blocks
    const ids = Int32Array.from([...before, ...said])
    return { prompt: before.length, next: await foretell(await session.gpu(), session.model, { kept, spec, blocks }, ids, before.length) }
  } finally {
    await kept.log.close()
  }
}

/** What is in place of a model's first `blocks` blocks. */
interface QuantizedModel {
  kept: Kept
  spec: Pick<RunSpec, 'overrides'>
  blocks: number
}

/**
 * The token that the model would say at each place of `ids` from `from` on, the ids before it given, and how much likelier it is
 * than the one that stands there. `kept`: of the first `blocks` blocks, as `spec` has them quantized.
 */
export async function foretell(
  gpu: Device,
  opened: OpenModel,
  quantized: QuantizedModel,
  ids: Int32Array,
  from: number,
): Promise<NextToken[]> {
  const mark = gpu.mark()
  try {
    const [batch] = batched([ids], 1)
    const { outer, table } = await endsOf(gpu, opened, quantized.kept)
    const flat = flatIds(batch)
    const first = opened.model.start(gpu, outer.weights, embed(gpu, table, flat), batch)
    Object.assign(batch, await inputsOf(gpu, opened, flat, outer.weights, table))
    if (table !== outer.head) disposePanels(table)
    const states = await quantizedStates(gpu, opened, quantized, first, batch)
    const normed = opened.model.finish(gpu, outer.weights, states)
    const judge = (said: ArrayLike<number>) => {
      const targets = new Uint32Array(batch.t)
      targets.set(said)
      return applyHead(gpu, normed, outer.head, targets, null, opened.model.logitCap)
    }
    const theirs = await judge(ids.subarray(1))
    const ours = await judge(theirs.top)
    // The row before a token tells it.
    return Array.from({ length: ids.length - from }, (_, i) => {
      const row = from + i - 1
      return { token: theirs.top[row], ahead: theirs.losses[row] - ours.losses[row] }
    })
  } finally {
    gpu.releaseSince(mark)
    gpu.trim()
  }
}

/** After the last block. */
async function quantizedStates(gpu: Device, opened: OpenModel, { kept, spec, blocks }: QuantizedModel, first: Tensor, batch: TokenBatch) {
  let x = first
  for (let k = 0; k < opened.model.shape.blocks; k++) {
    const full = await loadBlock(gpu, opened, k)
    const weights: BlockWeights = new Map(full)
    if (k < blocks) await restoreBlock(gpu, opened, kept, { k, spec }, weights, (stored) => restore(gpu, stored))
    const y = await last(opened.model.block(gpu, weights, x, batch, k))
    x.dispose()
    x = y
    for (const [name, tensor] of weights) if (full.get(name) !== tensor) tensor.dispose()
    disposeBlock(full)
  }
  return x
}
