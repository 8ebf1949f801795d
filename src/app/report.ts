/** A job's results as Markdown. */
import type { Catalog } from '../engine/job/catalog.ts'
import type { GpuSummary } from '../engine/job/device.ts'
import type { UsedText } from '../engine/job/texts.ts'
import * as format from './format.ts'
import { answerOf, withError as changeWithError, perplexityChange } from './judge.ts'
import { describeRun } from './plan.ts'
import type { JobView, RunView } from './reduce.ts'
import { sizeOf } from './sizes.ts'
import type { Ran } from './store/state.ts'

export interface ResultContext {
  catalog: Catalog
  /** The adapter at hand, for results without a report. */
  gpu: GpuSummary | null
  model: Ran
}

export function toMarkdown(view: JobView, { catalog, gpu, model }: ResultContext): string {
  const { job, calibration, evaluation, texts } = view
  // A report of an earlier version says neither.
  const report = view.report?.workbench ? view.report : null
  const adapter = report?.adapter ?? gpu
  const answer = answerOf(view)
  const rows = view.runs.map((run) => rowOf(run, view, { catalog, model }))
  const heads = [
    ...['Run', 'Options', 'Bits per weight', 'Size', 'Perplexity ± standard error', 'KL ± standard error, nats'],
    ...['KL median', 'KL 99th percentile', 'KL maximum', 'Same top token'],
    ...(job.lambada ? ['Last-word accuracy'] : []),
    'Mean layer error',
    ...(view.runs.some(measuredHeldOut) ? ['Mean layer error, held out'] : []),
    ...['Worst layer error', 'Time', 'State'],
  ]
  const table = [heads, heads.map((head) => (['Run', 'Options', 'State'].includes(head) ? '---' : '---:')), ...rows]
  return [
    `### ${model.name} (${model.familyLabel}, ${format.parameters(model.parameters)} parameters)`,
    ...(model.source ? ['', `From the Hub: ${model.source.repo} at ${model.source.ref} (commit ${model.source.revision})`] : []),
    ...(report ? ['', `Model: ${format.bytes(report.model.bytes)}, SHA-256 ${report.model.sha256.slice(0, 16)}`] : []),
    '',
    `Perplexity of the model ${model.quantized ? `as it was loaded (${model.quantized.bits}-bit ${model.quantized.format})` : 'at full precision'}: ${withError(view.fpPerplexity, view.fpPerplexityError)}`,
    '',
    ...(view.fpLambada
      ? [`Last-word accuracy as loaded: ${format.accuracy(view.fpLambada)?.text} of ${view.fpLambada.passages} passages`, '']
      : []),
    ...(answer ? [answer, ''] : []),
    ...(rows.length ? [...table.map((row) => `| ${row.join(' | ')} |`), ''] : []),
    rows.length && calibration
      ? `- Calibration: ${named(texts?.calibration)}${format.plural(calibration.windows, 'window')} of ${calibration.length} tokens, ${job.calibration.sampling}, seed ${job.seed}${digest(texts?.calibration)}`
      : null,
    evaluation
      ? `- Evaluation: ${named(texts?.evaluation)}${format.plural(evaluation.windows, 'window')} of ${evaluation.length} tokens${digest(texts?.evaluation)}`
      : null,
    texts?.lambada ? `- Last words: ${texts.lambada.name}${digest(texts.lambada)}` : null,
    view.network
      ? `- Read over the network: ${format.bytes(view.network.fetched)}${view.network.cached ? `, and ${format.bytes(view.network.cached)} from the cache` : ''}`
      : null,
    adapter
      ? `- Adapter: ${adapter.name} (${adapter.kind === 'software' ? 'software' : 'GPU'}, ${adapter.gflops.toFixed(1)} GFLOP/s in f32)`
      : null,
    report ? `- QuantEase Workbench ${report.workbench.version} (engine ${report.workbench.code.slice(0, 12)}), ${report.started}` : null,
    '',
  ]
    .filter((line) => line !== null)
    .join('\n')
    .replaceAll('\u202f', ' ')
}

const measuredHeldOut = ({ result }: RunView) => result?.meanHeldOutError !== undefined

function rowOf(run: RunView, view: JobView, { catalog, model }: Pick<ResultContext, 'catalog' | 'model'>): string[] {
  const { job, runs } = view
  const heldOut = runs.some(measuredHeldOut)
  const cell = (text: string) => text.replaceAll('|', '\\|')
  const { result } = run
  const spec = job.runs.find(({ id }) => id === run.id)!
  const change = perplexityChange(view, result)
  return [
    cell(run.label),
    cell(describeRun(catalog, spec)),
    result ? format.bitsPerWeight(result.bitsPerWeight) : '–',
    format.bytes(sizeOf(run, model)?.bytes ?? null),
    withError(result?.perplexity ?? null, result?.perplexityError ?? null) + (change ? ` (${changeWithError(change)})` : ''),
    withError(result?.kl ?? null, result?.klSpread?.error ?? null, format.divergence),
    ...(['median', 'p99', 'max'] as const).map((key) => format.divergence(result?.klSpread?.[key] ?? null)),
    format.share(result?.top1 ?? null),
    ...(job.lambada ? [format.accuracy(result?.lambada)?.text ?? '–'] : []),
    format.relativeError(result?.meanRelativeError ?? null, 'fraction'),
    ...(heldOut ? [format.relativeError(result?.meanHeldOutError ?? null, 'fraction')] : []),
    result?.worst ? `${format.relativeError(result.worst.relativeError, 'fraction')} (${result.worst.name})` : '–',
    result ? format.duration(result.seconds) : '–',
    run.state,
  ]
}

/** "2.11 ± 0.05". */
function withError(value: number | null, error: number | null, show = format.perplexity): string {
  return error === null || value === null ? show(value) : `${show(value)} ± ${show(error)}`
}

const named = (text: UsedText | undefined) => (text ? `${text.name}, ` : '')
const digest = (text: UsedText | undefined) => (text ? ` (SHA-256 of the token ids ${text.tokensSha256.slice(0, 16)})` : '')
