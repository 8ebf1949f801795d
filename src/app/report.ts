/** A job's results as text to paste into an issue. */
import type { Catalog, GpuSummary, ModelSummary } from '../engine/job.ts'
import * as format from './format.ts'
import { describeRun } from './plan.ts'
import type { JobView, RunView } from './reduce.ts'

export interface ResultContext {
  catalog: Catalog
  gpu: GpuSummary
  model: ModelSummary
}

export function toMarkdown(view: JobView, { catalog, gpu, model }: ResultContext): string {
  const { job, calibration, evaluation } = view
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const rows = view.runs.map((run) => {
    const { result } = run
    const spec = job.runs.find(({ id }) => id === run.id)!
    const change = format.perplexityChange(view.fpPerplexity, result?.perplexity ?? null)
    return [
      cell(run.label),
      cell(describeRun(catalog, spec)),
      result ? format.bitsPerWeight(result.bitsPerWeight) : '–',
      `${format.perplexity(result?.perplexity ?? null)}${change ? ` (${change.text})` : ''}`,
      format.divergence(result?.kl ?? null),
      format.share(result?.top1 ?? null),
      ...(job.lambada ? [format.accuracy(result?.lambada)?.text ?? '–'] : []),
      format.relativeError(result?.meanRelativeError ?? null, 'scientific'),
      result?.worst ? `${format.relativeError(result.worst.relativeError, 'scientific')} (${result.worst.name})` : '–',
      result ? format.duration(result.seconds) : '–',
      run.state,
    ]
  })
  const heads = [
    ...['Run', 'Options', 'Bits per weight', 'Perplexity', 'KL, nats', 'Same top token'],
    ...(job.lambada ? ['Last words right'] : []),
    ...['Mean relative error', 'Worst', 'Time', 'State'],
  ]
  const table = [heads, heads.map((head) => (['Run', 'Options', 'State'].includes(head) ? '---' : '---:')), ...rows]
  return [
    `### ${model.name} (${model.familyLabel}, ${format.parameters(model.parameters)} parameters)`,
    ...(model.source ? ['', `From the Hub: ${model.source.repo} at ${model.source.ref} (commit ${model.source.revision})`] : []),
    '',
    `Perplexity of the model as it was loaded: ${format.perplexity(view.fpPerplexity)}`,
    '',
    ...(view.fpLambada
      ? [`Last words right as it was loaded: ${format.accuracy(view.fpLambada)?.text} of ${view.fpLambada.passages} passages`, '']
      : []),
    ...(rows.length ? [...table.map((row) => `| ${row.join(' | ')} |`), ''] : []),
    rows.length && calibration
      ? `- Calibration: ${format.plural(calibration.windows, 'window')} of ${calibration.length} tokens, ${job.calibration.sampling}, seed ${job.seed}`
      : null,
    evaluation ? `- Evaluation: ${format.plural(evaluation.windows, 'window')} of ${evaluation.length} tokens` : null,
    view.network
      ? `- Read over the network: ${format.bytes(view.network.fetched)}${view.network.cached ? `, and ${format.bytes(view.network.cached)} from the cache` : ''}`
      : null,
    `- Adapter: ${gpu.name} (${gpu.kind === 'software' ? 'software' : 'GPU'}, ${gpu.gflops.toFixed(1)} GFLOP/s in f32)`,
    '',
  ]
    .filter((line) => line !== null)
    .join('\n')
    .replaceAll('\u202f', ' ')
}

/** A folder name for the checkpoint of a run: the model, the run, nothing that a file system minds. */
export function exportName(model: ModelSummary, run: RunView): string {
  return `${model.name}-${run.label}`
    .replace(/[^\p{L}\p{N}._-]+/gu, '-')
    .replace(/-+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
}
