/** The arguments as a job. */
import type { Job } from '../engine/job/job.ts'
import type { ModelSummary } from '../engine/job/model.ts'
import type { Session } from '../engine/session.ts'
import type { Given } from './arguments.ts'
import type { Asked } from './asked.ts'
import { type chooseTexts, namedText } from './inputs.ts'
import type { Speaker } from './speaker.ts'

/** What is asked for as a job, without its formats. */
export async function jobOf(
  session: Session,
  given: Given,
  asked: Asked,
  { calibration, evaluation }: Awaited<ReturnType<typeof chooseTexts>>,
  model: ModelSummary,
  say: Pick<Speaker, 'note'>,
): Promise<Omit<Job, 'formats' | 'keepSolved'>> {
  const { catalog } = session
  const { method, overrides } = asked
  const options = { ...asked.options }
  const length = asked.seqlen ?? Math.min(2048, model.maxPositions ?? 2048)
  // As in the published script, whose default is 1000: a number above that of the blocks means all.
  if (Number(options.blocks) > model.blocks) {
    say.note(`Note: --num-layers-to-quantize ${options.blocks}: the model has ${model.blocks} blocks, and all of them are quantized.`)
    options.blocks = 0
  }
  const published = catalog.texts.find(({ id }) => id === calibration.text)?.sampling
  const passages = given.text('lambada')
  const date = given.text('date')
  return {
    runs: asked.measureOnly
      ? []
      : [
          {
            id: 'run',
            label: catalog.solvers.find(({ id }) => id === method)!.label,
            method,
            options,
            ...(overrides.length && { overrides }),
          },
        ],
    calibration: {
      ...calibration,
      ...(given.on('chat-template') && { chat: true }),
      samples: asked.samples,
      heldOut: asked.heldOut,
      length,
      sampling: asked.sampling ?? published ?? 'random',
    },
    evaluation: {
      ...evaluation,
      samples: asked.evalSamples,
      length: asked.evalSeqlen ?? length,
      ...(asked.products !== 'f32' && { products: asked.products }),
    },
    ...(passages !== undefined && { lambada: { ...(await namedText(session, passages)), passages: asked.passages } }),
    seed: asked.seed,
    ...(date !== undefined && { date }),
    perplexityEvery: 0,
    save: asked.saved !== undefined,
  }
}
